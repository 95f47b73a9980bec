//! What a hostile server may answer, and what somebody may have put among a store's records: an error, in time and without taking the
//! machine's memory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use metaparticle::{ErrorKind, Store, persistent};

#[persistent(default)]
struct Counter {
    n: u64,
}

/// What an opening takes at least that does not look at its timeout while it tries for the first time.
const ONE_TRY: Duration = Duration::from_secs(5);

/// A server that answers whatever it is sent with `answer`, and waits, or hangs up. Gives its port.
fn server(answer: Vec<u8>, speaks_first: bool, hangs_up: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        let mut connections = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            // The client may have gone.
            let _ = if speaks_first { Ok(0) } else { stream.read(&mut request) };
            let _ = stream.write_all(&answer);
            if !hangs_up {
                connections.push(stream);
            }
        }
    });
    port
}

/// The most memory that this process has had, in KiB.
pub(crate) fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the figure");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn answers() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(11);
    let noise = (0..10_000).map(|_| random.u8(..)).collect();
    let http = b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec();
    let mysql_greeting = b"\x4a\0\0\0\x0a8.0.0\0".to_vec();
    let mut answers = vec![
        Vec::new(),
        vec![0; 100],
        vec![0xff; 10_000],
        noise,
        http,
        mysql_greeting,
        // PostgreSQL: a message of nearly 2 GiB; a message shorter than its own length; an error without an end.
        b"R\x7f\xff\xff\xff\0\0\0\0".to_vec(),
        b"R\0\0\0\0".to_vec(),
        b"E\0\0\0\x08Sxxxxxxxxxx".to_vec(),
        // MySQL: a packet of 16 MiB; a packet out of order.
        b"\xff\xff\xff\0\x0a".to_vec(),
        b"\x01\0\0\x07\xff".to_vec(),
        // Redis: lengths without end, negative ones, deep ones.
        b"$9223372036854775807\r\n".to_vec(),
        b"*2147483647\r\n*2147483647\r\n".to_vec(),
        b"$-5\r\n*-7\r\n:99999999999999999999999\r\n".to_vec(),
        b"*1\r\n".repeat(100_000),
        b"-MOVED 1 127.0.0.1:1\r\n".to_vec(),
        // HTTP/2, of etcd: settings, and then a frame of 16 MiB; a window of 2 GiB; headers that do not end.
        b"\0\0\0\x04\0\0\0\0\0\xff\xff\xff\0\0\0\0\0\x01".to_vec(),
        b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\0\0\x04\x08\0\0\0\0\0\x7f\xff\xff\xff".to_vec(),
    ];
    let continuation = b"\0\x10\0\x09\0\0\0\0\x01".iter().copied().chain([0x40; 4096]);
    answers.push(b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x88".iter().copied().chain(continuation).collect());
    answers
}

fn a_hostile_answer_is_an_error(engine: &str) {
    let before = peak();
    for answer in answers() {
        for (speaks_first, hangs_up) in [(true, false), (false, true)] {
            let port = server(answer.clone(), speaks_first, hangs_up);
            let path = if engine == "etcd" { "" } else { "d" };
            let path = if engine == "redis" { "0" } else { path };
            let begin = Instant::now();
            let builder = Store::builder(format!("{engine}://me:secret@127.0.0.1:{port}/{path}"));
            let error = builder.timeout(Duration::from_millis(300)).open().expect_err("it is no server");
            assert!(begin.elapsed() < ONE_TRY, "{engine} took {:?} for {answer:?}", begin.elapsed());
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
    // The driver may set aside what a message says that it has, but fills none of it.
    let taken = peak() - before;
    assert!(taken < 256 << 10, "{engine}: {taken} KiB were taken");
}

#[test]
fn hostile_answers_are_errors() {
    for engine in ["mysql", "postgres", "redis"].into_iter().chain(cfg!(feature = "etcd").then_some("etcd")) {
        a_hostile_answer_is_an_error(engine);
    }
}

/// Records that somebody has put into the table.
mod rows {
    use metaparticle_tests::servers::{is_there, mariadb, postgres, shared};

    use super::*;

    /// Has `damage` done to the record of an object; then reading and changing it are errors, and others are as they were.
    fn is_an_error(url: &str, damage: impl FnOnce()) {
        let store = Store::open(url).expect("opens");
        let count = |store: &Store, key: &str| {
            store.transaction(|tx| {
                let mut counter = tx.get_mut::<Counter>(key)?;
                counter.n += 1;
                metaparticle::Ok(counter.n)
            })
        };
        count(&store, "a").expect("counts");
        drop(store);
        damage();
        let store = Store::open(url).expect("opens");
        let error = count(&store, "a").expect_err("it is damaged");
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible), "{error:?}");
    }

    fn table(url: &str) -> &str {
        url.rsplit_once("table=").expect("a table").1
    }

    #[test]
    fn rows_that_are_none_of_ours_are_errors() {
        for engine in ["mysql", "postgres"] {
            if !is_there(engine, "rows_that_are_none_of_ours_are_errors") {
                continue;
            }
            let server = shared(engine).expect("it is there");
            let mut damage: Vec<String> = ["", "01", "01ff00000001000100000000", "ff"]
                .map(|hex| match engine {
                    "mysql" => format!("bytes = x'{hex}'"),
                    _ => format!("bytes = '\\x{hex}'"),
                })
                .to_vec();
            if engine == "postgres" {
                // MariaDB's column has a fixed length.
                damage.push("version = '\\x41'".to_owned());
            }
            for damage in damage {
                let url = server.new_url();
                let text = format!("UPDATE {} SET {damage}", table(&url));
                is_an_error(&url, || {
                    match engine {
                        "mysql" => mariadb::sql(server, &text),
                        _ => postgres::sql(server, &text),
                    };
                });
            }
        }
    }

    #[test]
    fn values_that_are_none_of_ours_are_errors() {
        if !is_there("redis", "values_that_are_none_of_ours_are_errors") {
            return;
        }
        let server = shared("redis").expect("it is there");
        for damage in [&b""[..], b"short", b"0123456789abcdef", b"0123456789abcdef\xff"] {
            let url = server.new_url();
            let prefix = url.rsplit_once("prefix=").expect("a prefix").1;
            let key = [format!("{{{prefix}}}:r:").as_bytes(), b"\x02Counter\0\x02a\0"].concat();
            is_an_error(&url, || {
                let mut command = b"*3\r\n$3\r\nSET\r\n".to_vec();
                for part in [&key[..], damage] {
                    command.extend(format!("${}\r\n", part.len()).bytes().chain(part.iter().copied()).chain(*b"\r\n"));
                }
                let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).expect("it is there");
                stream.write_all(&command).expect("it is sent");
                let mut answer = [0; 5];
                stream.read_exact(&mut answer).expect("it answers");
                assert_eq!(&answer, b"+OK\r\n");
            });
        }
    }
}
