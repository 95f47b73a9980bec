//! What a `postgres:` URL says.

use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tables::Sql;
use crate::engine::remote::options::{Encryption, Options};
use crate::engine::remote::{TRY, tls};
use crate::error::{Error, ErrorKind, Result};

/// How long one address may take, and one of several hosts: then there is time left for another one.
const CONNECT: Duration = Duration::from_secs(2);

/// Where the database is, how to connect, and the SQL of its tables.
pub(super) struct Config {
    /// One for each host, because the driver would try them all in one go, and not get past one that is silent.
    pub(super) hosts: Vec<tokio_postgres::Config>,
    /// The host that was connected to last.
    pub(super) current: AtomicUsize,
    /// How long connecting to a host may take.
    pub(super) patience: Duration,
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
        let unusable =
            || Error::new(ErrorKind::Setup, "the URL cannot be used; write `postgres://user:password@host:port/database`");
        let mut server: tokio_postgres::Config = options.url.parse().map_err(|_| unusable())?;
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
        let mut hosts = each_host(&server).ok_or_else(unusable)?;
        if server.get_load_balance_hosts() == LoadBalanceHosts::Random {
            fastrand::shuffle(&mut hosts);
        }
        let patience = if hosts.len() > 1 { CONNECT } else { TRY };
        Ok(Self { hosts, current: AtomicUsize::new(0), patience, tls, connections, sql })
    }
}

/// The same for each of the hosts alone; `None` if it does not say as many addresses or ports as hosts.
fn each_host(server: &tokio_postgres::Config) -> Option<Vec<tokio_postgres::Config>> {
    let (names, addresses, ports) = (server.get_hosts(), server.get_hostaddrs(), server.get_ports());
    let hosts = names.len().max(addresses.len());
    let is_for_each = |length: usize| length == 0 || length == hosts;
    if hosts == 0 || !is_for_each(names.len()) || !is_for_each(addresses.len()) || !(ports.len() == 1 || is_for_each(ports.len()))
    {
        return None;
    }
    let host = |n: usize| {
        let mut host = settings(server);
        match names.get(n) {
            Some(Host::Tcp(name)) => _ = host.host(name),
            #[cfg(unix)]
            Some(Host::Unix(path)) => _ = host.host_path(path),
            None => {}
        }
        if let Some(address) = addresses.get(n) {
            host.hostaddr(*address);
        }
        if let Some(port) = ports.get(n).or(ports.first()) {
            host.port(*port);
        }
        host
    };
    Some((0..hosts).map(host).collect())
}

/// All but the hosts.
fn settings(server: &tokio_postgres::Config) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings
        .ssl_mode(server.get_ssl_mode())
        .ssl_negotiation(server.get_ssl_negotiation())
        .channel_binding(server.get_channel_binding())
        // A standby is left for another host, or waited for until it takes over.
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .load_balance_hosts(server.get_load_balance_hosts())
        .connect_timeout(CONNECT)
        .tcp_user_timeout(TRY)
        .keepalives(server.get_keepalives())
        .keepalives_idle(Duration::from_secs(10));
    server.get_user().map(|user| settings.user(user));
    server.get_password().map(|password| settings.password(password));
    server.get_dbname().map(|name| settings.dbname(name));
    server.get_options().map(|options| settings.options(options));
    server.get_application_name().map(|name| settings.application_name(name));
    server.get_keepalives_interval().map(|interval| settings.keepalives_interval(interval));
    server.get_keepalives_retries().map(|retries| settings.keepalives_retries(retries));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        Config::of(url).expect("a usable URL").hosts[0].get_ssl_mode()
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
    fn each_host_is_a_server_of_its_own() {
        let config =
            Config::of("postgres://u:s%40cret@one:1,two:2/d?sslmode=disable&hostaddr=127.0.0.1,127.0.0.2&options=-c%20a%3Db");
        let hosts = config.expect("a usable URL").hosts;
        for (host, (name, port, address)) in hosts.iter().zip([("one", 1, [127, 0, 0, 1]), ("two", 2, [127, 0, 0, 2])]) {
            assert_eq!(host.get_hosts(), [Host::Tcp(name.to_owned())]);
            assert_eq!((host.get_ports(), host.get_hostaddrs()), (&[port][..], &[IpAddr::from(address)][..]));
            assert_eq!((host.get_user(), host.get_password(), host.get_dbname()), (Some("u"), Some(&b"s@cret"[..]), Some("d")));
            assert_eq!((host.get_options(), host.get_application_name()), (Some("-c a=b"), Some("metaparticle")));
        }
        assert_eq!(hosts.len(), 2);
        for url in ["postgres:///d", "postgres://one,two/d?hostaddr=127.0.0.1", "postgres://one,two,three/d?port=1,2"] {
            assert!(Config::of(url).is_err(), "{url}");
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
