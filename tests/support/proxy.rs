//! A small TCP proxy that loses what it is told to lose.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

/// What happens to the server's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fault {
    /// They pass.
    None,
    /// The request is delivered; the connection is cut in place of the answer.
    LoseReply,
    /// The connection is cut before the request is delivered.
    LoseRequest,
    /// The request is delivered; its answer never comes, and the connection stays open.
    Stall,
}

const FAULTS: [Fault; 4] = [Fault::None, Fault::LoseReply, Fault::LoseRequest, Fault::Stall];

/// A proxy in front of a server on this machine. It ends with the process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    switches: Arc<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    fault: AtomicU32,
    /// Only requests that contain this text are met by the fault; as bytes of a number, because it is short.
    skip: AtomicU32,
    met: AtomicU64,
}

impl Proxy {
    /// A proxy in front of `port`.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("its address").port();
        let switches = Arc::new(Switches::default());
        let of_all = switches.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is away refuses; so does the proxy then.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    pass(client, server, of_all.clone());
                }
            }
        });
        Self { port: own, switches }
    }

    /// The proxy's port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has one request meet `fault`, after `skip` others have passed.
    pub fn once(&self, fault: Fault, skip: u32) {
        self.switches.skip.store(skip, Ordering::SeqCst);
        self.switches.fault.store(fault as u32, Ordering::SeqCst);
    }

    /// How many requests have met a fault.
    pub fn met(&self) -> u64 {
        self.switches.met.load(Ordering::SeqCst)
    }
}

impl Switches {
    /// What the request that has just come meets.
    fn meet(&self) -> Fault {
        let fault = FAULTS[self.fault.load(Ordering::SeqCst) as usize];
        if fault == Fault::None {
            return fault;
        }
        let skipped = self.skip.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |skip| skip.checked_sub(1)).is_ok();
        if skipped || self.fault.swap(Fault::None as u32, Ordering::SeqCst) != fault as u32 {
            return Fault::None;
        }
        self.met.fetch_add(1, Ordering::SeqCst);
        fault
    }
}

/// Passes on both ways, on threads of their own, until one side ends.
fn pass(client: TcpStream, server: TcpStream, switches: Arc<Switches>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let silent = Arc::new(AtomicU32::new(Fault::None as u32));
    let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let (from_client, to_client, from_server, to_server) = (clone(&client), client, clone(&server), server);
    let seen = silent.clone();
    thread::spawn(move || {
        forward(from_client, to_server, |request, server| {
            let fault = switches.meet();
            if fault == Fault::LoseRequest {
                return false;
            }
            if fault != Fault::None {
                seen.store(fault as u32, Ordering::SeqCst);
            }
            server.write_all(request).is_ok()
        });
    });
    thread::spawn(move || {
        forward(from_server, to_client, |reply, client| match FAULTS[silent.load(Ordering::SeqCst) as usize] {
            Fault::Stall => true,
            Fault::LoseReply => false,
            _ => client.write_all(reply).is_ok(),
        });
    });
}

fn forward(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8], &mut TcpStream) -> bool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if !pass(&bytes[..length], &mut to) {
            break;
        }
    }
    // Whichever side ends, so does the other; it may have ended already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
