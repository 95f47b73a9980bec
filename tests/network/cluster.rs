//! Redis as a cluster: all keys of a store are in one slot, wherever that is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use metaparticle_tests::servers::{Server, is_there};

use crate::{count, increment, increment_after, open};

/// Sends one command, and gives its answer's text.
pub(crate) fn tell(server: &Server, command: &str) -> String {
    let connected =
        std::iter::repeat_with(|| TcpStream::connect(("127.0.0.1", server.port()))).take(1_000_000).find_map(Result::ok);
    let stream = connected.expect("the server is there");
    (&stream).write_all(format!("{command}\r\n").as_bytes()).expect("it is sent");
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).expect("it answers");
    match line.strip_prefix('$') {
        None => line,
        Some(length) => {
            let mut text = vec![0; length.trim().parse().expect("a length")];
            stream.read_exact(&mut text).expect("the rest");
            String::from_utf8(text).expect("text")
        }
    }
}

/// Sends one command that has nothing to say but that it is done.
pub(crate) fn is_done(server: &Server, command: &str) {
    assert_eq!(tell(server, command), "+OK\r\n", "{command}");
}

fn is_ready(server: &Server) {
    while !tell(server, "CLUSTER INFO").contains("cluster_state:ok") {
        std::thread::yield_now();
    }
}

#[test]
fn a_store_can_be_in_a_cluster_whichever_node_the_url_names() {
    if !is_there("redis", "a_store_can_be_in_a_cluster_whichever_node_the_url_names") {
        return;
    }
    let ((with_slots, others), (without, _)) = (Server::start_redis_node(), Server::start_redis_node());
    is_done(&with_slots, "CLUSTER ADDSLOTSRANGE 0 16383");
    is_done(&without, &format!("CLUSTER MEET 127.0.0.1 {} {others}", with_slots.port()));
    is_ready(&with_slots);
    is_ready(&without);
    let url = with_slots.new_url();
    let moved = url.replace(&with_slots.port().to_string(), &without.port().to_string());
    let (store, other) = (open(&url), open(&moved));
    for n in 0..5 {
        assert_eq!(store.run(|| increment("n")).expect("increments"), 2 * n + 1);
        // Two objects at once, and one that is told where they are.
        assert_eq!(other.run(|| increment_after("n", "other")).expect("increments"), 2 * n + 2);
    }
    assert_eq!(other.run(|| count("n")).expect("counts"), 10);
}
