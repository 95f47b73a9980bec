//! What is particular to PostgreSQL: several hosts, its tables, and what its roles may.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use metaparticle::ErrorKind;
use metaparticle_tests::servers::postgres::sql;
use metaparticle_tests::servers::{Server, is_there};

use crate::{increment, open, server};

fn table_of(url: &str) -> &str {
    url.rsplit_once('=').expect("an option").1
}

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
    more_old_ids_than_one_statement_can_forget_are_forgotten_part_by_part
    a_commit_that_failed_before_its_end_is_known_not_to_be_made
}

/// Has `work` done before each row is written to, or deleted from, a table.
fn before_each_row(server: &Server, table: &str, of: &str, work: &str) {
    let begin = format!("CREATE FUNCTION work_{table}() RETURNS trigger LANGUAGE plpgsql AS");
    sql(server, &format!("{begin} $$ BEGIN {work}; IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"));
    sql(server, &format!("CREATE TRIGGER work BEFORE {of} ON {table} FOR EACH ROW EXECUTE FUNCTION work_{table}()"));
}

/// A role that may use what is in the store with this URL and nothing else, and its URL.
fn role_of(server: &Server, url: &str) -> (String, String) {
    let table = table_of(url);
    let role = format!("role_{table}");
    sql(server, &format!("CREATE ROLE {role} LOGIN"));
    sql(server, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table}, {table}_commits TO {role}"));
    let url = url.replace("tests:", &format!("{role}:"));
    (role, url)
}

mod tests {
    use super::*;

    pub(super) fn a_host_that_is_silent_is_left_for_the_next_one(server: &Server) {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("its address").port();
        let url = server.new_url().replace("@127", &format!("@127.0.0.1:{port},127"));
        assert_eq!(open(&url).run(|| increment("n")).expect("increments"), 1);
    }

    pub(super) fn more_old_ids_than_one_statement_can_forget_are_forgotten_part_by_part(server: &Server) {
        let url = server.new_url();
        drop(open(&url));
        let ids = format!("{}_commits", table_of(&url));
        let old =
            "SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), true, now() - interval '2 hours' FROM generate_series(1, 800) n";
        sql(server, &format!("INSERT INTO {ids} (id, applied, made) {old}"));
        // All of them take longer than a statement may.
        before_each_row(server, &ids, "DELETE", "PERFORM pg_sleep(0.01)");
        let store = open(&url);
        store.run(|| increment("n")).expect("increments");
        let number = |of: &str| sql(server, &format!("SELECT count(*) FROM {ids} WHERE {of}"));
        let begin = Instant::now();
        while number("made < now() - interval '1 hour'") != "0" {
            assert!(begin.elapsed() < Duration::from_secs(60), "there are still {}", number("true"));
        }
        assert_ne!(number("true"), "0", "those that are not old have gone, too");
    }

    pub(super) fn a_commit_that_failed_before_its_end_is_known_not_to_be_made(server: &Server) {
        let url = server.new_url();
        drop(open(&url));
        let (role, url) = role_of(server, &url);
        sql(server, &format!("GRANT CREATE ON SCHEMA public TO {role}"));
        let store = open(&url);
        store.run(|| increment("n")).expect("increments");
        sql(server, &format!("REVOKE INSERT ON {} FROM {role}", table_of(&url)));
        let error = store.run(|| increment("n")).expect_err("it may not write");
        assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("42501"), "{error:?}");
    }
}
