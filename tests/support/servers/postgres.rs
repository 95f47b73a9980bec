//! PostgreSQL's client, for what a store cannot ask.

use std::process::Command;

use super::mariadb::said;
use super::{POSTGRES, Server};

/// What the server says to `text`.
pub fn sql(server: &Server, text: &str) -> String {
    let mut client = Command::new(format!("{POSTGRES}/psql"));
    client.args(["--no-psqlrc", "--host=127.0.0.1", "--username=tests", "--no-password", "--tuples-only", "--quiet"]);
    client.arg(format!("--port={}", server.port())).args(["--command", text, "postgres"]);
    said(client, text)
}
