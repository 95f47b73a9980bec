//! What a `redis:` URL says, the one connection that all requests share, and what the server's errors mean.

use std::sync::Arc;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo, RedisError};
use redis::{ErrorKind as Cause, ServerErrorKind};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::engine::remote::options::Options;
use crate::engine::remote::shared::{InUse, Io, Shared};
use crate::engine::remote::{Ask, Failure, again, tls};
use crate::error::{Error, ErrorKind, Result};

/// Where the server is, how to connect, and what the store's keys begin with.
pub(super) struct Config {
    pub(super) address: (String, u16),
    pub(super) settings: RedisConnectionInfo,
    /// `None`: without encryption.
    tls: Option<TlsConnector>,
    pub(super) prefix: String,
}

impl Config {
    pub(super) fn of(url: &str) -> Result<Self> {
        let mut options = Options::of(url);
        let prefix = options.take_name("prefix", "metaparticle")?;
        let roots = options.take("sslrootcert")?;
        let encrypted = options.url.starts_with("rediss:");
        // Encryption is ours, not the driver's.
        let plain = options.url.replacen("rediss:", "redis:", 1);
        // The driver's error is not passed on, because it may have parts of the URL in it, and so of the password.
        let unusable =
            || Error::new(ErrorKind::Setup, "the URL cannot be used; write `rediss://user:password@host:port/database`");
        let info = plain.as_str().into_connection_info().map_err(|_| unusable())?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else { return Err(unusable()) };
        let tls = encrypted.then(|| tls::client(roots.as_deref())).transpose()?;
        let tls = tls.map(|tls| TlsConnector::from(Arc::new(tls)));
        Ok(Self { address: (host, port), settings: info.redis_settings().clone(), tls, prefix })
    }
}

/// The way to the server. Connects when there is something to send, and again after a failure.
pub(super) struct Link {
    config: Arc<Config>,
    current: Mutex<Current>,
}

struct Current {
    /// Another one than the URL's where a cluster has said so.
    address: (String, u16),
    connection: Option<Shared<MultiplexedConnection>>,
}

/// The shared connection, in use for one request.
pub(super) type Connection = InUse<MultiplexedConnection>;

impl Link {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let current = Current { address: config.address.clone(), connection: None };
        Self { config, current: Mutex::new(current) }
    }

    pub(super) async fn connection(&self) -> Result<Connection, Failure> {
        let mut current = self.current.lock().await;
        let usable = current.connection.clone().filter(Shared::is_usable);
        let shared = match usable {
            Some(shared) => shared,
            None => {
                current.connection = None;
                match connect(&self.config, &current.address).await {
                    Ok(connection) => {
                        let shared = Shared::new(connection);
                        current.connection = Some(shared.clone());
                        shared
                    }
                    Err(failure) => {
                        current.address = self.config.address.clone();
                        return Err(failure);
                    }
                }
            }
        };
        Ok(shared.used())
    }

    /// From the driver's error to ours; follows a cluster that has moved the slot, which then has done nothing else.
    pub(super) async fn failure(&self, error: RedisError, ask: &Ask) -> Failure {
        if did_nothing(&error) {
            ask.not_committed();
        }
        self.follow(error).await
    }

    /// As [`failure`](Link::failure), of what is no commit.
    pub(super) async fn follow(&self, error: RedisError) -> Failure {
        // The driver tells the node's address and the slot.
        if let (Cause::Server(ServerErrorKind::Moved), Some((node, _slot))) = (error.kind(), error.redirect_node())
            && let Some((host, port)) = node.rsplit_once(':')
            && let Ok(port) = port.parse()
        {
            let mut current = self.current.lock().await;
            // A node that does not know its own name leaves it out.
            let host = if host.is_empty() { current.address.0.clone() } else { host.to_owned() };
            *current = Current { address: (host, port), connection: None };
        }
        failure_of(error)
    }
}

async fn connect(config: &Config, address: &(String, u16)) -> Result<MultiplexedConnection, Failure> {
    // The time for each request is limited where it is sent.
    let limits = AsyncConnectionConfig::new().set_response_timeout(None);
    let (connection, driver) = MultiplexedConnection::new_with_config(&config.settings, stream(config, address).await?, limits)
        .await
        .map_err(failure_of)?;
    tokio::spawn(driver);
    Ok(connection)
}

/// The way to the server, encrypted if the URL says so.
pub(super) async fn stream(config: &Config, address: &(String, u16)) -> Result<Box<dyn Io>, Failure> {
    let unreachable = |error: std::io::Error| again("the server cannot be reached", error);
    let stream = TcpStream::connect((address.0.trim_matches(['[', ']']), address.1)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let Some(tls) = &config.tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(address.0.clone())
        .map_err(|error| Failure::Final(Error::with_source(ErrorKind::Setup, "the host has no valid name", error)))?;
    Ok(Box::new(tls.connect(name, stream).await.map_err(|error| again("the server cannot be trusted", error))?))
}

impl Connection {
    /// Sends one command, once.
    pub(super) async fn send(&self, command: &Cmd) -> Result<redis::Value, RedisError> {
        self.connection().clone().req_packed_command(command).await?.extract_error()
    }

    /// Sends one command that may be repeated.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        Ok(T::from_redis_value(self.send(command).await?)?)
    }
}

/// Whether the connection is of no more use: also when the server takes no writes, because another one may have taken its place.
pub(super) fn is_broken(error: &RedisError) -> bool {
    match error.kind() {
        Cause::Server(_) | Cause::Extension => code_of(error) == Some("READONLY"),
        _ => true,
    }
}

/// What version 6 has somewhere in the text of a script's error, and says at a script's first write only. (`MISCONF` it may say at a later
/// one.)
const OF_SCRIPTS: [&str; 2] = ["OOM", "READONLY"];

/// What the server calls its error.
fn code_of(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    let of_a_script = error.detail().filter(|said| code == "ERR" && said.starts_with("Error running script"));
    let within = |said: &str| OF_SCRIPTS.into_iter().find(|code| said.contains(&format!(": -{code} ")));
    Some(of_a_script.and_then(within).unwrap_or(code))
}

/// Errors that a server answers before it runs a script, or at its first write: nothing was done.
///
/// `BUSY`, `LOADING`, `TRYAGAIN`, `CLUSTERDOWN`, `MASTERDOWN`, `READONLY`, `MOVED`, `ASK`, `NOSCRIPT`, `MISCONF` (it cannot write to its
/// disk), `NOREPLICAS`, `OOM` (its memory is full).
fn did_nothing(error: &RedisError) -> bool {
    match error.kind() {
        Cause::Server(ServerErrorKind::ResponseError) => code_of(error).is_some_and(|code| OF_SCRIPTS.contains(&code)),
        Cause::Server(kind) => kind != ServerErrorKind::ExecAbort,
        Cause::Extension => matches!(error.code(), Some("BUSY" | "MISCONF" | "NOREPLICAS" | "OOM")),
        _ => false,
    }
}

/// From the driver's error to ours. Again: what comes from the network, and what [`did_nothing`] but may pass.
pub(super) fn failure_of(error: RedisError) -> Failure {
    let code = error.code().map(str::to_owned);
    match error.kind() {
        Cause::Server(ServerErrorKind::NoPerm) | Cause::AuthenticationFailed => {
            Failure::Final(Error::with_source(ErrorKind::Setup, "the server refuses the user or the password", error))
        }
        Cause::Server(_) | Cause::Extension if did_nothing(&error) => again("the server is not ready", error),
        Cause::Server(_) | Cause::Extension if code.as_deref() == Some("WRONGTYPE") => Failure::Final(Error::with_source(
            ErrorKind::Corrupt,
            "the store's keys hold what this library has not written",
            error,
        )),
        Cause::Server(_) | Cause::Extension => {
            let said = error.detail().unwrap_or_default().to_owned();
            let message = format!("the server refuses: {} {said}", code.unwrap_or_default());
            Failure::Final(Error::with_source(ErrorKind::Engine, message, error))
        }
        _ => again("the server cannot be reached", error),
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::{Config, Failure, did_nothing, failure_of, is_broken};

    /// Whether nothing was done, whether the connection is left, and whether it may pass.
    fn meaning(answer: &str) -> (bool, bool, bool) {
        let answer = parse_redis_value(format!("-{answer}\r\n").as_bytes()).expect("an answer");
        let error = answer.extract_error().expect_err("it is an error");
        (did_nothing(&error), is_broken(&error), matches!(failure_of(error), Failure::Again(_)))
    }

    #[test]
    fn errors_of_scripts_are_told_apart_as_version_6_words_them() {
        let script = "ERR Error running script (call to f_0123): @user_script:80: @user_script: 80:";
        let passes = [
            "BUSY Redis is busy running a script.".to_owned(),
            "MISCONF Errors writing to the AOF file: No space left on device".to_owned(),
            "OOM command not allowed when used memory > 'maxmemory'.".to_owned(),
            format!("{script} -OOM command not allowed when used memory > 'maxmemory'."),
        ];
        for answer in passes {
            assert_eq!(meaning(&answer), (true, false, true), "{answer}");
        }
        for answer in ["READONLY You can't write".to_owned(), format!("{script} -READONLY You can't write")] {
            assert_eq!(meaning(&answer), (true, true, true), "{answer}");
        }
        let unknown = ["Script attempted to access a non local key", "-MISCONF Errors writing to the AOF file"];
        let unknown = unknown.map(|said| format!("{script} {said}"));
        for answer in unknown.into_iter().chain(["ERR unknown: -OOM ".to_owned()]) {
            assert_eq!(meaning(&answer), (false, false, false), "{answer}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_does_not_show_its_password() {
        for url in ["redis://u:secret@host:port/0", "redis://u:secret@host/0?prefix=%7B", "redis://u:secret@host/text"] {
            let error = Config::of(url).err().expect("it cannot be used");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
