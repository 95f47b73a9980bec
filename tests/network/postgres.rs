//! What is particular to PostgreSQL: several hosts, its tables, and what its roles may.

use std::net::TcpListener;

use metaparticle_tests::servers::{Server, is_there};

use crate::{increment, open, server};

/// Makes tests of functions, each of which is given the server that tests share.
macro_rules! on_the_shared_server {
    ($($name:ident)*) => {
        $(#[test] fn $name() {
            if is_there("postgres", stringify!($name)) { tests::$name(server("postgres")); }
        })*
    };
}

on_the_shared_server! {
    a_host_that_is_silent_is_left_for_the_next_one
}

mod tests {
    use super::*;

    pub(super) fn a_host_that_is_silent_is_left_for_the_next_one(server: &Server) {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("its address").port();
        let url = server.new_url().replace("@127", &format!("@127.0.0.1:{port},127"));
        assert_eq!(open(&url).run(|| increment("n")).expect("increments"), 1);
    }
}
