//! What a `postgres:` URL says.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tables::Sql;
use crate::engine::remote::options::{Encryption, Options};
use crate::engine::remote::{TRY, tls};
use crate::error::{Error, ErrorKind, Result};

/// Where the database is, how to connect, and the SQL of its tables.
pub(super) struct Config {
    pub(super) server: tokio_postgres::Config,
    /// `None`: without encryption.
    pub(super) tls: Option<MakeRustlsConnect>,
    pub(super) connections: usize,
    pub(super) sql: Sql,
}

impl Config {
    pub(super) fn of(url: &str) -> Result<Self> {
        let mut options = Options::of(url);
        let sql = Sql::of(&options.take_name("table", "metaparticle")?);
        let connections = options.take_connections()?;
        let mode = options.take_encryption()?;
        let roots = options.take("sslrootcert")?;
        // The driver's error is not passed on, because it may have parts of the URL in it, and so of the password.
        let mut server: tokio_postgres::Config = options.url.parse().map_err(|_| {
            Error::new(ErrorKind::Setup, "the URL cannot be used; write `postgres://user:password@host:port/database`")
        })?;
        let is_local = |host: &Host| match host {
            Host::Tcp(name) => tls::is_local(name),
            _ => true,
        };
        // Where there is an address, the driver goes there, whatever the host is called.
        let stays = server.get_hosts().iter().all(is_local) && server.get_hostaddrs().iter().all(IpAddr::is_loopback);
        let mode = mode.unwrap_or_else(|| Encryption::unless_local(stays));
        server.ssl_mode(match mode {
            Encryption::Off => SslMode::Disable,
            Encryption::Preferred => SslMode::Prefer,
            Encryption::Required => SslMode::Require,
        });
        let tls = match mode {
            Encryption::Off => None,
            _ => Some(MakeRustlsConnect::new(tls::client(roots.as_deref())?)),
        };
        if server.get_application_name().is_none() {
            server.application_name("metaparticle");
        }
        if server.get_hosts().len() > 1 {
            // One of them may be a standby, which takes no writes.
            server.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        server.connect_timeout(TRY).tcp_user_timeout(TRY).keepalives_idle(Duration::from_secs(10));
        Ok(Self { server, tls, connections, sql })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        Config::of(url).expect("a usable URL").server.get_ssl_mode()
    }

    #[test]
    fn only_what_stays_on_this_machine_is_not_encrypted() {
        assert_eq!(mode("postgres://u@localhost/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u@127.0.0.1:5/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u@localhost/d?hostaddr=127.0.0.1"), SslMode::Disable);
        assert_eq!(mode("postgres://u@db.example/d?sslmode=disable"), SslMode::Disable);
        for elsewhere in ["db.example/d", "localhost,db.example/d", "localhost/d?hostaddr=192.0.2.1", "/d?hostaddr=192.0.2.1"] {
            assert_eq!(mode(&format!("postgres://u@{elsewhere}")), SslMode::Require, "{elsewhere}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_does_not_show_its_password() {
        for url in ["postgres://u:secret@host:port/d", "postgres://u:secret@host/d?sslmode=no", "postgres://u:secret@h/d?what=1"]
        {
            let error = Config::of(url).err().expect("it cannot be used");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
