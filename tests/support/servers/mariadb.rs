//! MariaDB's client, for what a store cannot ask.

use std::process::Command;

use super::Server;

/// The client, about to carry out `text`.
pub fn client(server: &Server, text: &str) -> Command {
    let mut client = Command::new("/usr/bin/mariadb");
    client.args([
        "--no-defaults",
        "--protocol=tcp",
        "--host=127.0.0.1",
        "--user=tests",
        "--password=secret",
        "--skip-column-names",
    ]);
    client.arg(format!("--port={}", server.port())).args(["--unbuffered", "--execute", text, "tests"]);
    client
}

/// What the server says to `text`.
pub fn sql(server: &Server, text: &str) -> String {
    said(client(server, text), text)
}

pub(super) fn said(mut client: Command, text: &str) -> String {
    let output = client.output().expect("the client runs");
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
