//! A primary, and a standby that has to have a commit before the primary answers it.

use std::process::Command;

use super::mariadb::{client, said, sql};
use super::{POSTGRES, Server, as_ordinary_user};
use crate::proxy::Proxy;

/// How many seconds a standby may take to carry out what it has received.
const PATIENCE: &str = "60";

impl Server {
    /// Starts a primary, its standby, and the proxy that is between them. Until the standby has connected, commits wait.
    pub fn start_with_standby(engine: &str) -> (Self, Self, Proxy) {
        match engine {
            "mysql" => start_mysql(),
            "postgres" => start_postgres(),
            _ => panic!("{engine} has no standby that is waited for"),
        }
    }

    /// Makes a standby whose primary has gone the primary.
    pub fn take_over(&self) {
        if self.name == "mysql" {
            return take_over_mysql(self);
        }
        let mut promote = as_ordinary_user(&format!("{POSTGRES}/pg_ctl"));
        promote.args(["promote", "--wait", "--timeout", PATIENCE, "-D"]).arg(self.folder.join("pg"));
        run(promote);
    }
}

fn start_postgres() -> (Server, Server, Proxy) {
    let (mut primary, mut standby) = (Server::new("postgres"), Server::new("postgres"));
    primary.prepare(&["-c", "synchronous_standby_names=standby", "-c", "synchronous_commit=on"]);
    primary.run();
    primary.must_listen();
    let link = Proxy::before(primary.port);
    let mut copy = as_ordinary_user(&format!("{POSTGRES}/pg_basebackup"));
    let settings = format!("-h 127.0.0.1 -p {} -U tests --checkpoint=fast --write-recovery-conf -D", link.port());
    copy.args(settings.split(' ')).arg(standby.folder.join("pg"));
    run(copy);
    // By this name the primary knows it.
    standby.arguments = ["-c", "cluster_name=standby"].map(str::to_owned).to_vec();
    standby.run();
    (primary, standby, link)
}

fn start_mysql() -> (Server, Server, Proxy) {
    let (mut primary, mut standby) = (Server::new("mysql"), Server::new("mysql"));
    primary.prepare(&[
        "--server-id=1",
        "--log-bin=log",
        "--rpl-semi-sync-master-enabled=ON",
        "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
        // In milliseconds: longer than any test takes.
        "--rpl-semi-sync-master-timeout=3600000",
    ]);
    standby.prepare(&["--server-id=2", "--relay-log=relay", "--rpl-semi-sync-slave-enabled=ON"]);
    primary.run();
    standby.run();
    standby.must_listen();
    let link = Proxy::before(primary.port);
    let primary_is = format!("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}", link.port());
    let login = "MASTER_USER = 'tests', MASTER_PASSWORD = 'secret', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1";
    sql(&standby, &format!("{primary_is}, {login}; START SLAVE"));
    (primary, standby, link)
}

fn take_over_mysql(standby: &Server) {
    sql(standby, "STOP SLAVE IO_THREAD");
    let status = "SHOW SLAVE STATUS\\G";
    let mut ask = client(standby, status);
    ask.arg("--column-names");
    let status = said(ask, status);
    let received = status.lines().find_map(|line| line.trim().strip_prefix("Gtid_IO_Pos:"));
    let received = received.expect("it says what it has received").trim();
    // What it has confirmed it may not have carried out yet.
    assert_eq!(sql(standby, &format!("SELECT MASTER_GTID_WAIT('{received}', {PATIENCE})")), "0", "{status}");
    sql(standby, "STOP SLAVE; RESET SLAVE ALL");
}

fn run(mut command: Command) {
    let output = command.current_dir("/").output().expect("the command runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
