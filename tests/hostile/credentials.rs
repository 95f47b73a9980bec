//! A password in a URL is in no error, no `Debug` and no `Display`, whatever is wrong with the URL or the server.

use std::error::Error as _;
use std::time::Duration;

use metaparticle::{Error, ErrorKind, Store};
use metaparticle_tests::servers::{free_port, is_there, shared};

const SECRET: &str = "Zq9Kx7Wv";
const SCHEMES: [&str; 8] = ["etcd", "etcds", "mysql", "mariadb", "postgres", "postgresql", "redis", "rediss"];

fn schemes() -> impl Iterator<Item = &'static str> {
    SCHEMES.into_iter().filter(|scheme| cfg!(feature = "etcd") || !scheme.starts_with("etcd"))
}

/// All that an error says, in every way that there is.
fn said(error: &Error) -> String {
    let mut said = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        said += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    said
}

fn fails(url: &str) -> Error {
    fails_within(url, Duration::from_millis(200))
}

fn fails_within(url: &str, time: Duration) -> Error {
    let builder = Store::builder(url).timeout(time);
    assert!(!format!("{builder:?}").contains(SECRET), "{builder:?}");
    let error = builder.open().expect_err("it cannot be opened");
    assert!(!said(&error).contains(SECRET), "{url}: {}", said(&error));
    error
}

#[test]
fn urls_that_cannot_be_used_do_not_show_the_password() {
    let rests = [
        "@host:port/0",
        "@host:99999/0",
        "@",
        "@/",
        "@@",
        "@:0",
        "@[::1",
        "@[::1]x",
        "@ho st/0",
        "@host/0?table=%",
        "@host/0?prefix=%zz",
        "@host/0?connections=many",
        "@host/0?sslmode=maybe",
        "@host/0?sslrootcert=there-is-no-such-file",
        "@host/0?unknown=1",
        "@host/0?&&&===",
        "@host/\0",
        "@host,other,,/0",
    ];
    // Characters that a password in a URL should have written otherwise.
    for odd in ["", "%", "%4", "?", "?x=", "&", "#", "/", ":", "@", " ", "\\", "é", "\0", "[", "?table=A&"] {
        for (scheme, rest) in schemes().flat_map(|scheme| rests.map(|rest| (scheme, rest))) {
            let url = format!("{scheme}://me:{odd}{SECRET}{odd}{rest}");
            // Some can be used, and then there is no such server.
            fails_within(&url, Duration::from_millis(1));
        }
    }
}

#[test]
fn urls_of_nothing_do_not_show_the_password() {
    for url in ["ftp://me:{}@host/", "memory:{}", "://me:{}@host", "postgres+unix://me:{}@host/d"] {
        let error = Store::open(url.replace("{}", SECRET)).expect_err("it is no engine");
        assert_eq!(error.kind(), ErrorKind::Setup, "{error:?}");
        assert!(url.starts_with("memory") || !said(&error).contains(SECRET), "{error:?}");
    }
}

#[test]
fn the_url_of_a_server_without_its_slashes_makes_no_folder() {
    for scheme in schemes() {
        for slashes in ["", "/"] {
            let error = fails(&format!("{scheme}:{slashes}me:{SECRET}@host/d"));
            assert!(error.kind() == ErrorKind::Setup && error.to_string().contains(&format!("{scheme}://")), "{error:?}");
        }
    }
    let made = std::fs::read_dir(".").expect("reads").filter_map(Result::ok);
    assert!(!made.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().contains("me:")), "a folder was made");
}

#[test]
fn a_server_that_cannot_be_reached_does_not_show_the_password() {
    let port = free_port();
    for scheme in schemes() {
        let path = if scheme.starts_with("etcd") { "" } else { "0" };
        for host in [format!("127.0.0.1:{port}"), "no.such.host.invalid".to_owned()] {
            let error = fails(&format!("{scheme}://me:{SECRET}@{host}/{path}"));
            assert!(error.to_string().contains(&host), "{error:?}");
        }
    }
}

#[test]
fn a_password_that_is_refused_is_not_shown() {
    for engine in ["mysql", "redis"] {
        if !is_there(engine, "a_password_that_is_refused_is_not_shown") {
            continue;
        }
        let url = shared(engine).expect("it is there").new_url();
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let error = fails_within(&format!("{scheme}://tests:{SECRET}@{host}"), Duration::from_secs(30));
        assert_eq!(error.kind(), ErrorKind::Setup, "{error:?}");
    }
}

#[test]
fn a_store_does_not_show_its_password() {
    for engine in ["etcd", "mysql", "postgres", "redis"] {
        if !is_there(engine, "a_store_does_not_show_its_password") {
            continue;
        }
        let url = shared(engine).expect("it is there").new_url();
        let store = Store::open(&url).expect("opens");
        let shown = format!("{store:?} {} {:?}", store.url(), store.warnings());
        assert!(!shown.contains("secret") && !shown.contains('?'), "{shown}");
    }
}
