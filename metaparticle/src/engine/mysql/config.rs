//! What a `mysql:` URL says.

use std::time::Duration;

use mysql_async::{Opts, OptsBuilder, SslOpts};

use super::sql::Sql;
use crate::engine::remote::options::{Encryption, Options, invalid};
use crate::engine::remote::tls;
use crate::error::{Error, ErrorKind, Result};

/// Where the database is, how to connect, and the SQL of its tables.
pub(super) struct Config {
    pub(super) server: Opts,
    /// The same without encryption, where that will do if the server has none.
    pub(super) unencrypted: Option<Opts>,
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
        // The driver has options that would turn off the verification of certificates, and others that it would follow silently.
        if let Some(name) = options.next_name() {
            return Err(invalid(name, "the options are `table`, `connections`, `sslmode` and `sslrootcert`"));
        }
        // The driver's error is not passed on, because it may have parts of the URL in it, and so of the password.
        let unusable =
            || Error::new(ErrorKind::Setup, "the URL cannot be used; write `mysql://user:password@host:port/database`");
        let url = options.url.replacen("mariadb:", "mysql:", 1);
        let parsed = Opts::from_url(&url).map_err(|_| unusable())?;
        let database = parsed.db_name().filter(|name| !name.is_empty()).ok_or_else(unusable)?;
        let host = parsed.ip_or_hostname().trim_start_matches('[').trim_end_matches(']');
        let mode = mode.unwrap_or_else(|| Encryption::unless_local(tls::is_local(host)));
        let plain = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(parsed.tcp_port())
            .user(parsed.user())
            .pass(parsed.pass())
            .db_name(Some(database))
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(10)))
            // What would be asked of the server otherwise; the server has its own limit.
            .max_allowed_packet(Some(1 << 30))
            .wait_timeout(Some(1 << 30));
        let encrypted = match mode {
            Encryption::Off => None,
            _ => Some(plain.clone().ssl_opts(verified(roots.as_deref())?)),
        };
        let (server, unencrypted) = match (mode, encrypted) {
            (Encryption::Preferred, Some(encrypted)) => (encrypted, Some(plain.into())),
            (_, encrypted) => (encrypted.unwrap_or(plain), None),
        };
        Ok(Self { server: server.into(), unencrypted, connections, sql })
    }
}

/// Encryption that trusts the certificates in the file `roots`, or those that the system trusts.
fn verified(roots: Option<&str>) -> Result<SslOpts> {
    tls::choose_provider();
    let roots = tls::roots(roots)?.into_iter().map(|certificate| certificate.to_vec().into());
    Ok(SslOpts::default().with_disable_built_in_roots(true).with_root_certs(roots.collect()))
}

#[cfg(test)]
mod tests {
    use super::Config;

    fn is_encrypted(url: &str) -> bool {
        Config::of(url).expect("a usable URL").server.ssl_opts().is_some()
    }

    #[test]
    fn only_what_stays_on_this_machine_is_not_encrypted() {
        assert!(!is_encrypted("mysql://u@localhost/d"));
        assert!(!is_encrypted("mariadb://u@127.0.0.1:5/d"));
        assert!(!is_encrypted("mysql://u@[::1]:5/d"));
        assert!(!is_encrypted("mysql://u@db.example/d?sslmode=disable"));
        assert!(is_encrypted("mysql://u@db.example/d"));
    }

    #[test]
    fn parts_of_a_url_are_understood() {
        let config = Config::of("mariadb://me:s%2Fe%40cret@[::1]:5/shop?connections=3").expect("a usable URL");
        let server = &config.server;
        assert_eq!((server.ip_or_hostname(), server.tcp_port(), config.connections), ("::1", 5, 3));
        assert_eq!((server.user(), server.pass(), server.db_name()), (Some("me"), Some("s/e@cret"), Some("shop")));
    }

    #[test]
    fn a_url_that_cannot_be_used_does_not_show_its_password() {
        for rest in ["host:port/d", "host/d?sslmode=no", "host/d?verify_ca=false", "host/", "host", "host/d?connections=0"] {
            let error = Config::of(&format!("mysql://u:secret@{rest}")).err().expect("it cannot be used");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
