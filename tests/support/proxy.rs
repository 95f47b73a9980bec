//! A small TCP proxy that loses what it is told to lose.

mod http2;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is delivered; the connection ends in place of the answer.
    LoseReply,
    /// The connection ends before it is delivered.
    LoseRequest,
    /// It is delivered; its answer never comes, and the connection stays open.
    Stall,
    /// It is kept, with all that follows on its connection, until [`Proxy::release`].
    Hold,
}

/// A proxy in front of a server on this machine. It ends with the process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The fault that a request will meet, after so many others have passed.
    next: Option<(Fault, u32)>,
    /// Those that requests go on to meet, one in so many.
    faults: Vec<Fault>,
    every: u32,
    met: u32,
    released: bool,
    /// Whether a request that was held has been answered.
    answered: bool,
    /// Whether the connection of a request that was held has ended.
    ended: bool,
    /// Where new connections lead to.
    port: u16,
    connections: u32,
    /// So many of the first connections are silent.
    silent: u32,
}

impl Proxy {
    /// A proxy in front of `port`.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared::default());
        shared.with(|state| state.port = port);
        let of_all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let port = of_all.with(|state| state.port);
                // A server that is away refuses; so does the proxy then.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    pass(client, server, of_all.clone());
                }
            }
        });
        Self { port: own, shared }
    }

    /// The proxy's port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has one request meet `fault`, after `skip` others have passed.
    pub fn once(&self, fault: Fault, skip: u32) {
        self.shared.with(|state| state.next = Some((fault, skip)));
    }

    /// From now on, has one request in `every` meet one of `faults`, at random.
    pub fn again_and_again(&self, faults: &[Fault], every: u32) {
        self.shared.with(|state| (state.next, state.faults, state.every) = (None, faults.to_vec(), every));
    }

    /// From now on, new connections lead to another server, on `port`.
    pub fn lead_to(&self, port: u16) {
        self.shared.with(|state| state.port = port);
    }

    /// From now on, those that are connected hear nothing any more, and their connections stay open.
    pub fn falls_silent(&self) {
        self.shared.with(|state| state.silent = state.connections);
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u32 {
        self.shared.with(|state| state.connections)
    }

    /// How many requests have met a fault.
    pub fn met(&self) -> u32 {
        self.shared.with(|state| state.met)
    }

    /// Waits until so many requests have met a fault.
    pub fn wait_until_met(&self, requests: u32) {
        self.shared.wait(|state| state.met >= requests);
    }

    /// Delivers what was held, and waits until the server has ended that connection.
    pub fn release(&self) {
        self.shared.with(|state| state.released = true);
        self.shared.wait(|state| state.ended);
    }
}

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().expect("nobody panics"));
        self.changed.notify_all();
        result
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        let state = self.state.lock().expect("nobody panics");
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| !until(state)).expect("nobody panics");
        assert!(!waited.1.timed_out(), "what was waited for did not happen within {PATIENCE:?}");
    }

    /// What the request that has just come meets.
    fn meet(&self) -> Option<Fault> {
        self.with(|state| {
            let (fault, skip) = state.next.take().or_else(|| state.draw())?;
            if let Some(skip) = skip.checked_sub(1) {
                state.next = Some((fault, skip));
                return None;
            }
            state.met += 1;
            Some(fault)
        })
    }
}

impl State {
    /// One of the faults that are met again and again, and after how many requests.
    fn draw(&self) -> Option<(Fault, u32)> {
        let fault = fastrand::choice(&self.faults)?;
        Some((*fault, fastrand::u32(..2 * self.every)))
    }
}

/// Passes on both ways, on threads of their own, until both sides have ended.
fn pass(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let met = Arc::new(Mutex::new(None));
    let number = shared.with(|state| {
        state.connections += 1;
        state.connections
    });
    let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let (from_client, to_client, from_server, to_server) = (clone(&client), client, clone(&server), server);
    let (of_requests, of_replies) = (shared, met.clone());
    let of_end = of_requests.clone();
    thread::spawn(move || {
        let mut rest = clone(&from_client);
        let mut speaks_http2 = false;
        forward(from_client, to_server, |request, server| {
            speaks_http2 |= http2::is_preface(request);
            // What else a client sends is no request.
            let fault = if speaks_http2 && !http2::says_something(request) { None } else { of_requests.meet() };
            if fault.is_some() {
                *met.lock().expect("nobody panics") = fault;
            }
            match fault {
                Some(Fault::LoseRequest) => return false,
                Some(Fault::Hold) => of_requests.wait(|state| state.released),
                _ => {}
            }
            if speaks_http2 && fault == Some(Fault::Hold) {
                // The client has given up, and has said so on this connection.
                let mut all = request.to_vec();
                let _ = rest.read_to_end(&mut all);
                let sent = server.write_all(&http2::without_giving_up(&all)).is_ok();
                of_requests.wait(|state| state.answered || state.ended);
                return sent;
            }
            server.write_all(request).is_ok()
        });
    });
    thread::spawn(move || {
        let met = || *of_replies.lock().expect("nobody panics");
        let is_silent = || of_end.with(|state| number <= state.silent);
        forward(from_server, to_client, |reply, client| match met() {
            Some(Fault::Stall) => true,
            _ if is_silent() => true,
            Some(Fault::LoseReply) => false,
            // Whoever has sent it may have gone.
            Some(Fault::Hold) => {
                of_end.with(|state| state.answered |= state.released && http2::says_something(reply));
                let _ = client.write_all(reply);
                true
            }
            _ => client.write_all(reply).is_ok(),
        });
        if met() == Some(Fault::Hold) {
            of_end.with(|state| state.ended = true);
        }
    });
}

/// Passes on one way, until one side has ended or `pass` says so.
fn forward(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8], &mut TcpStream) -> bool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if !pass(&bytes[..length], &mut to) {
            break;
        }
    }
    // It may have ended already.
    let _ = (from.shutdown(Shutdown::Read), to.shutdown(Shutdown::Write));
}
