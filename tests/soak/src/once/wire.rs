//! The way to the server, on which answers and requests are lost, come late, or not at all.
//!
//! A commit is known by the mark of its call in it. So it is known which calls' commits have reached the server without an answer
//! that has come back: whatever their callers are told then, somebody had to find out.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::ledger::{Call, DIGITS, MARK};

/// One commit in so many meets a fault.
const OF_COMMITS: u32 = 8;
/// One of the other requests in so many does.
const OF_OTHERS: u32 = 200;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is delivered; the connection ends in place of the answer.
    LoseReply,
    /// The connection ends before it is delivered.
    LoseRequest,
    /// As `LoseRequest`, after a half of it.
    Half,
    /// The client's connection ends at once; some time later it is delivered all the same.
    Late,
    /// It is delivered, and the connection is reset.
    Reset,
    /// Nothing is delivered, either way, for longer than anybody waits for it.
    Stall,
}

/// By how often each of them happens.
const FAULTS: [Fault; 24] = {
    use Fault::{Half, Late, LoseReply, LoseRequest, Reset, Stall};
    [
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        LoseReply,
        Late,
        Late,
        Late,
        Late,
        Late,
        Reset,
        Reset,
        Reset,
        LoseRequest,
        LoseRequest,
        Half,
        Half,
        Stall,
    ]
};

/// Requests come late by up to so much.
const LATE: Duration = Duration::from_millis(150);
/// A stall is so long at most; the engines wait for 5 seconds.
const STALL: Duration = Duration::from_millis(5500);

/// A proxy in front of a server. It ends with the process.
pub(super) struct Wire {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What has happened since [`Wire::take`].
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Calls whose commit was delivered, and whose answer was not.
    pub(super) unknown: HashSet<Call>,
    /// Calls whose commit was not delivered, or not whole.
    pub(super) cut: HashSet<Call>,
    /// Requests that met a fault.
    pub(super) faults: u64,
    pub(super) late: u64,
    pub(super) stalls: u64,
}

struct State {
    losses: Losses,
    random: fastrand::Rng,
    /// Whether there are faults now.
    is_faulty: bool,
}

impl Wire {
    pub(super) fn before(port: u16, random: fastrand::Rng) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let own = listener.local_addr()?.port();
        let state = Mutex::new(State { losses: Losses::default(), random, is_faulty: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let of_all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is away refuses; so does the proxy then.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    Connection::carry(client, server, of_all.clone());
                }
            }
        });
        Ok(Self { port: own, shared })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on there are faults, or none. Whatever is held up goes on when there are none.
    pub(super) fn is_faulty(&self, is_faulty: bool) {
        self.shared.lock().is_faulty = is_faulty;
        self.shared.changed.notify_all();
    }

    /// Waits a little for something to happen; how many calls' answers are lost by now.
    pub(super) fn wait(&self) -> u64 {
        let waited = self.shared.changed.wait_timeout(self.shared.lock(), Duration::from_millis(100));
        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0.losses.unknown.len() as u64
    }

    /// What has happened since this was asked last.
    pub(super) fn take(&self) -> Losses {
        std::mem::take(&mut self.shared.lock().losses)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Losses)) {
        change(&mut self.lock().losses);
        self.changed.notify_all();
    }

    /// What a request meets, and for how long if that is a matter of time.
    fn meet(&self, commits: bool) -> Option<(Fault, Duration)> {
        let state = &mut *self.lock();
        if !state.is_faulty || state.random.u32(..if commits { OF_COMMITS } else { OF_OTHERS }) > 0 {
            return None;
        }
        let fault = FAULTS[state.random.usize(..FAULTS.len())];
        // Among other requests are those that make a connection.
        if !commits && matches!(fault, Fault::Late | Fault::Stall) {
            return None;
        }
        state.losses.faults += 1;
        let longest = if fault == Fault::Stall { STALL } else { LATE };
        Some((fault, longest.mul_f64(state.random.f64())))
    }

    /// Lets some time pass, as long as there are faults.
    fn pass(&self, time: Duration) {
        drop(self.changed.wait_timeout_while(self.lock(), time, |state| state.is_faulty));
    }
}

/// One connection of a client, and its own to the server.
struct Connection {
    shared: Arc<Shared>,
    /// Calls whose commit was delivered, and not answered yet.
    unanswered: Mutex<Vec<Call>>,
    /// The next answer is lost, and all that follow.
    loses: AtomicBool,
    is_stalled: AtomicBool,
}

impl Connection {
    /// Carries both ways, on threads of their own, until either side has ended.
    fn carry(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(other_client), Ok(other_server)) = (client.try_clone(), server.try_clone()) else { return };
        let connection = Self { shared, unanswered: Mutex::default(), loses: false.into(), is_stalled: false.into() };
        let connection = Arc::new(connection);
        let replies = connection.clone();
        thread::spawn(move || connection.requests(client, server));
        thread::spawn(move || replies.replies(other_server, other_client));
    }

    fn requests(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            let request = &bytes[..length];
            let calls = calls_in(request);
            let is_sent = match self.shared.meet(!calls.is_empty()) {
                None => self.deliver(request, calls, &mut server),
                Some((Fault::LoseReply, _)) => {
                    self.loses.store(true, Ordering::Relaxed);
                    self.deliver(request, calls, &mut server)
                }
                Some((fault @ (Fault::LoseRequest | Fault::Half), _)) => {
                    let half = if fault == Fault::Half { length / 2 } else { 0 };
                    let _ = server.write_all(&request[..half]);
                    self.shared.note(|losses| losses.cut.extend(calls));
                    false
                }
                Some((Fault::Late, time)) => {
                    self.loses.store(true, Ordering::Relaxed);
                    let _ = client.shutdown(Shutdown::Both);
                    self.shared.note(|losses| losses.late += 1);
                    self.shared.pass(time);
                    self.deliver(request, calls, &mut server);
                    false
                }
                Some((Fault::Reset, _)) => {
                    self.loses.store(true, Ordering::Relaxed);
                    self.deliver(request, calls, &mut server);
                    // What ends without lingering is reset.
                    let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
                    false
                }
                Some((Fault::Stall, time)) => {
                    self.is_stalled.store(true, Ordering::Relaxed);
                    self.shared.note(|losses| losses.stalls += 1);
                    self.shared.pass(time);
                    self.is_stalled.store(false, Ordering::Relaxed);
                    self.deliver(request, calls, &mut server)
                }
            };
            if !is_sent {
                break;
            }
        }
        // It may have ended already. The server carries out what it has before it sees the end.
        let _ = (client.shutdown(Shutdown::Read), server.shutdown(Shutdown::Write));
    }

    fn deliver(&self, request: &[u8], calls: Vec<Call>, server: &mut TcpStream) -> bool {
        self.unanswered().extend(calls);
        server.write_all(request).is_ok()
    }

    fn replies(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = server.read(&mut bytes) {
            while self.is_stalled.load(Ordering::Relaxed) {
                self.shared.pass(Duration::from_millis(10));
            }
            // The server is read on to its end, so that it is not stopped by what nobody reads.
            if !self.loses.load(Ordering::Relaxed) {
                if client.write_all(&bytes[..length]).is_err() {
                    break;
                }
                self.unanswered().clear();
            } else if client.shutdown(Shutdown::Both).is_err() {
                break;
            }
        }
        let _ = (server.shutdown(Shutdown::Read), client.shutdown(Shutdown::Write));
    }

    fn unanswered(&self) -> MutexGuard<'_, Vec<Call>> {
        self.unanswered.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let unanswered = std::mem::take(&mut *self.unanswered());
        self.shared.note(|losses| losses.unknown.extend(unanswered));
    }
}

/// The calls whose marks are in a request, as they are or in hexadecimal digits.
fn calls_in(request: &[u8]) -> Vec<Call> {
    let text = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.to_owned());
    let unhex = |bytes: &[u8]| -> Option<Vec<u8>> {
        let pairs = bytes.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        pairs.collect()
    };
    let call = |digits: String| {
        let (id, tried) = digits.split_at_checked(DIGITS.0)?;
        Some(Call { id: u64::from_str_radix(id, 16).ok()?, tried: u32::from_str_radix(tried, 16).ok()? })
    };
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    let length = DIGITS.0 + DIGITS.1;
    let after = |mark: &str, length: usize| -> Vec<&[u8]> {
        let at = request.windows(mark.len()).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(mark.as_bytes()));
        at.filter_map(|(at, _)| request.get(at + mark.len()..at + mark.len() + length)).collect()
    };
    let plain = after(MARK, length).into_iter().filter_map(|digits| call(text(digits)?));
    let coded = after(&hex, 2 * length).into_iter().filter_map(|digits| call(text(&unhex(digits)?)?));
    plain.chain(coded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_their_marks() {
        let calls = [Call { id: 0x1234_5678_9abc, tried: 2 }, Call { id: 1, tried: 0 }];
        let plain = calls.map(Call::mark).join(" and ");
        assert_eq!(calls_in(plain.as_bytes()), calls);
        let hex: String = plain.bytes().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(calls_in(format!("x'{hex}'").as_bytes()), calls);
        for none in ["", "once:", "once:123", "once:00000000000000zz0000", "6f6e63653a30"] {
            assert_eq!(calls_in(none.as_bytes()), [], "{none}");
        }
    }
}
