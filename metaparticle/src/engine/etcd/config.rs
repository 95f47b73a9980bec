//! What an `etcd:` URL says.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::engine::remote::options::{self, Options};
use crate::engine::remote::tls;
use crate::error::{Error, ErrorKind, Result};

/// The port that etcd listens to unless told otherwise.
const PORT: u16 = 2379;

/// Where the members are, how to connect to one, and what the store's keys begin with.
pub(super) struct Config {
    pub(super) members: Vec<Member>,
    /// The user and the password.
    pub(super) user: Option<(String, String)>,
    /// `None`: without encryption.
    pub(super) tls: Option<TlsConnector>,
    pub(super) prefix: String,
}

/// One server of the cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// A name or an address; one of IPv6 is without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Config {
    pub(super) fn of(url: &str) -> Result<Self> {
        let mut options = Options::of(url);
        let prefix = options.take_name("prefix", "metaparticle")?;
        let roots = options.take("sslrootcert")?;
        if let Some(name) = options.next_name() {
            return Err(options::invalid(name, "the engine has the options `prefix` and `sslrootcert`"));
        }
        let address = options.url.split('?').next().unwrap_or_default();
        let (scheme, rest) = address.split_once("://").ok_or_else(unusable)?;
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user_of(user).ok_or_else(unusable)?), rest),
            None => (None, rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let members: Option<Vec<Member>> = hosts.split(',').map(Member::of).collect();
        let members = members.filter(|_| path.is_empty()).ok_or_else(unusable)?;
        let tls = match (scheme, roots) {
            ("etcds", roots) => Some(connector(roots.as_deref(), &members)?),
            (_, None) => None,
            (_, Some(_)) => return Err(options::invalid("sslrootcert", "it is for encryption, which `etcds:` has")),
        };
        Ok(Self { members, user, tls, prefix })
    }
}

impl Member {
    /// For the driver; whether it is encrypted is not the driver's concern.
    pub(super) fn url(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("http://[{host}]:{port}") } else { format!("http://{host}:{port}") }
    }

    fn of(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if port.is_empty() => PORT,
            None => return None,
        };
        // Only what can be part of a name or an address, so that it can be part of another URL.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || (byte == b':' && text.starts_with('['));
        (!host.is_empty() && host.bytes().all(plain)).then(|| Self { host: host.to_owned(), port })
    }
}

fn user_of(text: &str) -> Option<(String, String)> {
    let (user, password) = text.split_once(':')?;
    Some((options::decode(user)?, options::decode(password)?))
}

fn connector(roots: Option<&str>, members: &[Member]) -> Result<TlsConnector> {
    for member in members {
        ServerName::try_from(member.host.clone()).map_err(|_| unusable())?;
    }
    let mut client = tls::client(roots)?;
    // What gRPC is carried by.
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(client)))
}

/// Without the URL, because that may have a password anywhere.
fn unusable() -> Error {
    let write = "`etcd://host:port`, `etcd://user:password@host,host2` or `etcds://…`; a special character of a password as `%` and two digits";
    Error::new(ErrorKind::Setup, format!("the URL cannot be used; write {write}"))
}

#[cfg(test)]
mod tests {
    use super::{Config, Member};

    #[test]
    fn a_url_names_members_user_and_prefix() {
        let config = Config::of("etcd://me:s%40cret@one,two.example:1,[::1]:2,[::2]/?prefix=shop").expect("it can be used");
        let member = |host: &str, port| Member { host: host.to_owned(), port };
        assert_eq!(config.members, [member("one", 2379), member("two.example", 1), member("::1", 2), member("::2", 2379)]);
        assert_eq!(config.user, Some(("me".to_owned(), "s@cret".to_owned())));
        assert_eq!(config.prefix, "shop");
        assert!(config.tls.is_none());
        let config = Config::of("etcd://one").expect("it can be used");
        assert_eq!((config.user, &*config.prefix), (None, "metaparticle"));
    }

    #[test]
    fn a_url_that_cannot_be_used_does_not_show_its_password() {
        let urls = [
            "etcd://u:secret@host:port",
            "etcd://u:secret@host/0",
            "etcd://u:secret@",
            "etcd://u:secret@one,,two",
            "etcd://u:secret/@host@x y",
            "etcd://secret@host",
            "etcd://u:secret@[::1",
            "etcd://u:secret@[::1]2",
            "etcd://u:secret%@host",
            "etcd://u:secret@host?prefix=%7B",
            "etcd://u:secret@host?table=mine",
            "etcd://u:secret@host?sslrootcert=file",
            "etcds://u:secret@host?sslrootcert=there-is-no-such-file",
        ];
        for url in urls {
            let error = Config::of(url).err().expect("it cannot be used");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
