//! As much of HTTP/2 as the proxy needs, to tell requests and answers from what keeps a connection in order.

/// The bytes of a frame before its content: the length in three of them, then the kind.
const HEAD: usize = 9;

/// What a client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// `SETTINGS`, `PING` and `WINDOW_UPDATE`.
const IN_ORDER: [u8; 3] = [4, 6, 8];

/// `RST_STREAM` and `GOAWAY`.
const GIVING_UP: [u8; 2] = [3, 7];

/// Whether a connection that begins with these bytes speaks it.
pub(super) fn is_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// Whether there is a request or an answer in it.
pub(super) fn says_something(bytes: &[u8]) -> bool {
    frames(bytes).any(|frame| !IN_ORDER.contains(&frame[3]))
}

/// What is left without the client saying that it waits no longer.
pub(super) fn without_giving_up(bytes: &[u8]) -> Vec<u8> {
    frames(bytes).filter(|frame| !GIVING_UP.contains(&frame[3])).flatten().copied().collect()
}

/// The frames; what is not a whole one counts as one of an unknown kind.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, _) = bytes.split_first_chunk::<HEAD>()?;
        let length = HEAD + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (frame, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        Some(frame)
    })
}
