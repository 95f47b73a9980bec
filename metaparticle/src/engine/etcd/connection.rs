//! The one connection that all requests share, to one member of the cluster at a time.
//!
//! Which member that is, is decided here and not by the driver, so that nothing is sent again without our knowing, and a member
//! that does not answer is left for another one.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::{PbTxnOpResponse, PbTxnResponse};
use etcd_client::{
    Channel, Client, ConnectOptions, GetOptions, GetResponse, StatusResponse, Txn, TxnResponse, WatchOptions, WatchStream,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tonic::Status;
use tonic::transport::Endpoint;

use super::config::{Config, Member};
use super::errors::Trouble;
use crate::engine::remote::shared::{InUse, Io, Shared};
use crate::engine::remote::{Failure, TRY, again};

/// How long connecting to one member may take; then there is time left for another one.
const CONNECT: Duration = Duration::from_secs(2);

/// After how long without a word a connection is probed. etcd takes it amiss if it is less than five seconds.
const PROBE: Duration = Duration::from_secs(10);

/// The longest answer that is taken: a page of records.
const ANSWER_BYTES: usize = 512 << 20;

/// The way to the cluster. Connects when there is something to send, and again after a failure.
pub(super) struct Link {
    config: Arc<Config>,
    current: Mutex<Current>,
}

struct Current {
    /// The member to connect to next.
    next: usize,
    connection: Option<Shared<Client>>,
}

/// The shared connection, in use for one request.
pub(super) type Connection = InUse<Client>;

impl Link {
    pub(super) fn new(config: Arc<Config>) -> Self {
        // So that the programs of a system do not all ask the same member.
        let next = fastrand::usize(..config.members.len());
        Self { config, current: Mutex::new(Current { next, connection: None }) }
    }

    pub(super) async fn connection(&self) -> Result<Connection, Failure> {
        let mut current = self.current.lock().await;
        let usable = current.connection.take().filter(Shared::is_usable);
        let shared = match usable {
            Some(shared) => shared,
            None => {
                let member = current.next;
                // Said first: whatever becomes of this one, also if the wait for it is given up, another one is next.
                current.next = (member + 1) % self.config.members.len();
                let connecting = connect(self.config.clone(), member);
                let client = tokio::time::timeout(CONNECT, connecting).await;
                let client = client.unwrap_or_else(|elapsed| Err(again("the server does not answer", elapsed)))?;
                Shared::new(client)
            }
        };
        current.connection = Some(shared.clone());
        Ok(shared.used())
    }
}

async fn connect(config: Arc<Config>, member: usize) -> Result<Client, Failure> {
    let unreachable = |error: tonic::transport::Error| again("the server cannot be reached", error);
    let endpoint = Endpoint::from_shared(config.members[member].url()).map_err(unreachable)?;
    // Only while something is waited for: etcd allows no more.
    let endpoint = endpoint.http2_keep_alive_interval(PROBE).keep_alive_timeout(TRY).keep_alive_while_idle(false);
    let user = config.user.clone();
    let connector = tower::service_fn(move |_| stream(config.clone(), member));
    let channel = endpoint.connect_with_connector(connector).await.map_err(unreachable)?;
    let options = user.map(|(user, password)| ConnectOptions::new().with_user(user, password));
    Client::from_channel(Channel::Tonic(channel), options).await.map_err(|error| Trouble::from(error).into())
}

async fn stream(config: Arc<Config>, member: usize) -> std::io::Result<TokioIo<Box<dyn Io>>> {
    let Member { host, port } = &config.members[member];
    let stream = TcpStream::connect((&**host, *port)).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE).with_interval(PROBE))?;
    let stream: Box<dyn Io> = match &config.tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
            Box::new(tls.connect(name, stream).await?)
        }
    };
    Ok(TokioIo::new(stream))
}

/// An answer, if it has an answer to each of the operations; the driver would panic where one is missing.
pub(super) fn whole(answer: TxnResponse) -> Result<TxnResponse, etcd_client::Error> {
    fn is_whole(answer: &PbTxnResponse) -> bool {
        answer.responses.iter().all(|each| match &each.response {
            None => false,
            Some(PbTxnOpResponse::ResponseTxn(within)) => is_whole(within),
            Some(_) => true,
        })
    }
    if is_whole(&answer.0) { Ok(answer) } else { Err(Status::data_loss("an answer is incomplete").into()) }
}

impl Connection {
    pub(super) async fn txn(&self, txn: Txn) -> Result<TxnResponse, Trouble> {
        let mut client = self.connection().kv_client().max_decoding_message_size(ANSWER_BYTES);
        self.seen(client.txn(txn).await.and_then(whole))
    }

    pub(super) async fn get(&self, key: Vec<u8>, options: GetOptions) -> Result<GetResponse, Trouble> {
        let mut client = self.connection().kv_client().max_decoding_message_size(ANSWER_BYTES);
        self.seen(client.get(key, Some(options)).await)
    }

    /// A stream of what changes in a range of keys from now on.
    pub(super) async fn watch(&self, first: Vec<u8>, options: WatchOptions) -> Result<WatchStream, Trouble> {
        let mut client = self.connection().watch_client().max_decoding_message_size(ANSWER_BYTES);
        self.seen(client.watch(first, Some(options)).await)
    }

    /// A new lease of so many seconds.
    pub(super) async fn grant(&self, seconds: i64) -> Result<i64, Trouble> {
        Ok(self.seen(self.connection().lease_client().grant(seconds, None).await)?.id())
    }

    pub(super) async fn status(&self) -> Result<StatusResponse, Trouble> {
        self.seen(self.connection().maintenance_client().status().await)
    }

    fn seen<T>(&self, result: Result<T, etcd_client::Error>) -> Result<T, Trouble> {
        result.map_err(|error| {
            let trouble = Trouble::from(error);
            if trouble.cause.breaks() {
                self.breaks();
            }
            trouble
        })
    }
}

#[cfg(test)]
mod tests {
    use etcd_client::TxnResponse;
    use etcd_client::proto::{PbResponseOp, PbTxnOpResponse, PbTxnResponse};

    use super::whole;

    #[test]
    fn an_answer_that_is_incomplete_is_an_error() {
        let answer = |response| PbTxnResponse { responses: vec![PbResponseOp { response }], ..PbTxnResponse::default() };
        assert!(whole(TxnResponse(PbTxnResponse::default())).is_ok());
        assert!(whole(TxnResponse(answer(None))).is_err());
        let within = PbTxnOpResponse::ResponseTxn(answer(None));
        assert!(whole(TxnResponse(answer(Some(within)))).is_err());
    }
}
