//! Encrypted connections: the server's certificate is verified, and one that nobody vouches for is refused.

use std::path::Path;
use std::time::Duration;

use metaparticle::{ErrorKind, Store};
use metaparticle_tests::servers::Server;

use crate::{increment, open};

metaparticle_tests::on_every_server! {
    a_server_whose_root_is_trusted_is_used
    a_server_that_nobody_vouches_for_is_refused
    a_certificate_for_another_name_is_refused
    a_certificate_that_has_expired_is_refused
    encryption_is_verified_unless_the_url_says_otherwise
}

/// The URL of a new store, encrypted, with this root beside those of the system.
fn url(engine: &str, server: &Server, root: Option<&Path>) -> String {
    let url = server.new_url();
    let url = match engine {
        "etcd" => url.replace("etcd://", "etcds://"),
        "redis" => url.replace("redis://", "rediss://"),
        _ => url + "&sslmode=verify-full",
    };
    root.map_or(url.clone(), |root| format!("{url}&sslrootcert={}", root.display()))
}

fn a_server_whose_root_is_trusted_is_used(engine: &str) {
    let (server, root) = Server::start_encrypted(engine, "127.0.0.1");
    let store = open(&url(engine, &server, Some(&root)));
    for n in 1..=3 {
        assert_eq!(store.run(|| increment("n")).expect("increments"), n);
    }
}

fn is_refused(url: &str) {
    let refused = |seconds| Store::builder(url).timeout(Duration::from_secs(seconds)).open().expect_err("it is not trusted");
    // With its causes. A slow machine may not have come to it in a second.
    let speaks_of_it = |error: &metaparticle::Error| format!("{error:?}").to_lowercase().contains("certificate");
    let error = Some(refused(1)).filter(speaks_of_it).unwrap_or_else(|| refused(30));
    assert!(speaks_of_it(&error), "it is refused for another reason: {error:?}");
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Setup), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

fn a_server_that_nobody_vouches_for_is_refused(engine: &str) {
    let (server, root) = Server::start_encrypted(engine, "127.0.0.1");
    // It is there, and would be used.
    open(&url(engine, &server, Some(&root)));
    is_refused(&url(engine, &server, None));
}

fn a_certificate_for_another_name_is_refused(engine: &str) {
    let (server, root) = Server::start_encrypted(engine, "another.example");
    is_refused(&url(engine, &server, Some(&root)));
}

fn a_certificate_that_has_expired_is_refused(engine: &str) {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    let (server, root) = Server::start_with_certificate(engine, params);
    is_refused(&url(engine, &server, Some(&root)));
}

/// What libpq would take for encrypted and not look at.
fn encryption_is_verified_unless_the_url_says_otherwise(engine: &str) {
    let (server, _) = Server::start_encrypted(engine, "127.0.0.1");
    let plain = server.new_url();
    let urls = match engine {
        "etcd" => vec![plain.replace("etcd://", "etcds://")],
        "redis" => vec![plain.replace("redis://", "rediss://")],
        _ => ["require", "verify-ca", "prefer", "allow"].map(|mode| format!("{plain}&sslmode={mode}")).to_vec(),
    };
    urls.iter().for_each(|url| is_refused(url));
}
