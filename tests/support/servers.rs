//! Real servers as throw-away processes: a temporary folder, a free loopback port, an ordinary user.
//!
//! A server is started by a guard, a shell that waits for its input to end. The input is a pipe from this process: so the server
//! also ends, and its folder goes, when the tests are killed.

mod etcd;
pub mod mariadb;
pub mod postgres;
mod standby;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Says which process the server is, waits for the end of input, and cleans up. Its arguments: the folder, the server, its own.
const GUARD: &str = r#"dir=$1; shift; "$@" >"$dir/log" 2>&1 & server=$!; echo $server; read -r _; kill -9 $server 2>/dev/null; wait; [ -e "$dir/keep" ] || rm -rf "$dir" 2>/dev/null"#;

/// How long a server may take to start, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where Debian has PostgreSQL's programs.
const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

/// What is known about a kind of server.
struct Kind {
    name: &'static str,
    program: &'static str,
    package: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { name: "etcd", program: "/usr/bin/etcd", package: "etcd-server etcd-client" },
    Kind { name: "mysql", program: "/usr/sbin/mariadbd", package: "mariadb-server-core mariadb-client-core" },
    Kind { name: "postgres", program: "/usr/lib/postgresql/15/bin/postgres", package: "postgresql-15" },
    Kind { name: "redis", program: "/usr/bin/redis-server", package: "redis-server" },
];

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("no engine is called {name}"))
}

/// Whether the server of this engine is installed. If not, says that `test` was not run, and fails where that must not be.
pub fn is_there(name: &str, test: &str) -> bool {
    let Kind { program, package, .. } = kind(name);
    if name == "etcd" && !cfg!(feature = "etcd") {
        say(&format!(
            "NOT RUN: {test} on etcd; `cargo test -p metaparticle-tests --features etcd`, which needs `protoc`, runs it"
        ));
        return false;
    }
    if Path::new(program).exists() {
        return true;
    }
    let message = format!("NOT RUN: {test} on {name}; {program} is missing, `apt-get install {package}` brings it");
    assert!(std::env::var_os("CI").is_none(), "{message}");
    say(&message);
    false
}

/// Also where the test passes, whose output is kept back by the harness, unless it goes to the stream itself.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// The server of this engine that all tests of this process share.
pub fn shared(name: &str) -> Option<&'static Server> {
    static SERVERS: [OnceLock<Server>; KINDS.len()] = [const { OnceLock::new() }; KINDS.len()];
    let index = KINDS.iter().position(|kind| kind.name == name)?;
    is_there(name, "a test").then(|| SERVERS[index].get_or_init(|| Server::start(name)))
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    port: u16,
    folder: PathBuf,
    /// Arguments beside those that every server of its kind has.
    arguments: Vec<String>,
    guard: Option<(Child, String)>,
}

impl Server {
    /// Starts a server of this engine. It may not be ready to answer yet; engines wait for that when they are opened.
    pub fn start(name: &str) -> Self {
        let mut server = Self::new(name);
        server.prepare(&[]);
        server.run();
        server
    }

    /// Starts a Redis server that is a node of a cluster, which has no other nodes and no slots yet. Also the port for other nodes.
    pub fn start_redis_node() -> (Self, u16) {
        let mut server = Self::new("redis");
        let port = free_port();
        let file = server.folder.join("nodes").display().to_string();
        server.prepare(&["--cluster-enabled", "yes", "--cluster-config-file", &file, "--cluster-port", &port.to_string()]);
        server.run();
        server.must_listen();
        (server, port)
    }

    /// Starts a server of this engine that talks encrypted, and makes the certificate that it shows, for `name`; it is its own root.
    pub fn start_encrypted(engine: &str, name: &str) -> (Self, PathBuf) {
        Self::start_with_certificate(engine, rcgen::CertificateParams::new([name.to_owned()]).expect("a name"))
    }

    /// As [`start_encrypted`](Server::start_encrypted), with this certificate.
    pub fn start_with_certificate(engine: &str, params: rcgen::CertificateParams) -> (Self, PathBuf) {
        let mut server = Self::new(engine);
        let signing_key = rcgen::KeyPair::generate().expect("a key");
        let made = params.self_signed(&signing_key).expect("a certificate");
        let (certificate, key) = (server.folder.join("certificate"), server.folder.join("key"));
        for (file, pem) in [(&certificate, made.pem()), (&key, signing_key.serialize_pem())] {
            std::fs::write(file, pem).expect("it is written");
            // PostgreSQL refuses a key that others can read.
            std::fs::set_permissions(file, Permissions::from_mode(0o600)).expect("it is ours");
            if let Some((user, group)) = ordinary_user() {
                chown(file, Some(user), Some(group)).expect("it is given away");
            }
        }
        let (cert, key) = (certificate.display(), key.display());
        let arguments = match engine {
            "postgres" => format!("-c ssl=on -c ssl_cert_file={cert} -c ssl_key_file={key}"),
            "mysql" => format!("--ssl-cert={cert} --ssl-key={key}"),
            "etcd" => format!("--cert-file={cert} --key-file={key}"),
            _ => {
                let port = server.port;
                format!("--port 0 --tls-port {port} --tls-cert-file {cert} --tls-key-file {key} --tls-auth-clients no")
            }
        };
        server.prepare(&arguments.split(' ').collect::<Vec<_>>());
        server.run();
        server.must_listen();
        (server, certificate)
    }

    /// Starts the members of an etcd cluster, each with these arguments beside its own.
    pub fn start_etcd(members: usize, arguments: &[&str]) -> Vec<Self> {
        let mut servers: Vec<Self> = (0..members).map(|_| Self::new("etcd")).collect();
        etcd::together(&mut servers, arguments);
        servers.iter_mut().for_each(Self::run);
        servers.iter().for_each(Self::must_listen);
        servers
    }

    fn new(name: &str) -> Self {
        let kind = kind(name);
        let folder = tempfile::Builder::new().prefix("metaparticle-").tempdir().expect("a temporary folder").keep();
        let server = Self { name: kind.name, port: free_port(), folder, arguments: Vec::new(), guard: None };
        if let Some((user, group)) = ordinary_user() {
            chown(&server.folder, Some(user), Some(group)).expect("the folder is given away");
        }
        server
    }

    /// Makes what a server of its kind needs before its first start. `arguments`: beside those that all of its kind have.
    fn prepare(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match self.name {
            "postgres" => self.make_cluster(),
            "mysql" => self.make_system_tables(),
            "etcd" => etcd::together(std::slice::from_mut(self), arguments),
            _ => {}
        }
    }

    fn make_cluster(&self) {
        let mut make = as_ordinary_user(&format!("{POSTGRES}/initdb"));
        make.arg("-D").arg(self.folder.join("pg"));
        make.args(["-U", "tests", "-A", "trust", "--no-locale", "-E", "UTF8", "-N"]);
        let made = make.current_dir("/").output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn make_system_tables(&self) {
        let mut make = as_ordinary_user("/usr/bin/mariadb-install-db");
        make.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=32M"]);
        make.arg(format!("--datadir={}", self.folder.join("data").display()));
        // A server that starts cleans up there, also after one that is running.
        make.arg(format!("--tmpdir={}", self.folder.display()));
        let made = make.current_dir("/").output().expect("mariadb-install-db runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // One statement a line. They are not for a standby, which has its own.
        let user = "SET sql_log_bin = 0;\nCREATE DATABASE IF NOT EXISTS tests;\n\
            CREATE USER IF NOT EXISTS tests IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO tests WITH GRANT OPTION;\n";
        std::fs::write(self.folder.join("init"), user).expect("the folder can be written to");
    }

    fn run(&mut self) {
        let Kind { program, .. } = kind(self.name);
        let port = self.port.to_string();
        let folder = self.folder.to_str().expect("a plain path");
        let mut guard = as_ordinary_user("sh");
        guard.args(["-c", GUARD, "guard", folder, program]);
        match self.name {
            "postgres" => guard.args(["-D", &format!("{folder}/pg"), "-p", &port, "-c", "listen_addresses=127.0.0.1"]).args([
                "-c",
                &format!("unix_socket_directories={folder}"),
                // What these servers keep need not survive a power cut.
                "-c",
                "fsync=off",
                "-c",
                "max_connections=300",
            ]),
            "etcd" => &mut guard,
            "mysql" => guard
                .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=500"])
                .arg(format!("--port={port}"))
                .args(
                    [("datadir", "data"), ("tmpdir", ""), ("socket", "socket"), ("pid-file", "pid")]
                        .map(|(option, file)| format!("--{option}={folder}/{file}")),
                )
                .arg(format!("--init-file={folder}/init"))
                // What these servers keep need not survive a power cut, but a crash of the process.
                .args(["--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=32M"]),
            _ => guard.args(["--port", &port, "--bind", "127.0.0.1", "--dir", folder]).args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ]),
        };
        guard.args(&self.arguments);
        let mut guard = guard.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the guard starts");
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().expect("its output")).read_line(&mut pid).expect("it says the server's pid");
        self.guard = Some((guard, pid.trim().to_owned()));
    }

    /// Kills the server as a crash would, and starts it again on what it has left behind.
    pub fn crash_and_restart(&mut self) {
        self.crash();
        self.restart();
    }

    /// Kills the server as a crash would.
    pub fn crash(&mut self) {
        std::fs::write(self.folder.join("keep"), "").expect("the folder can be written to");
        let (mut guard, pid) = self.guard.take().expect("it is running");
        // It may have ended by itself.
        Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status().expect("kill runs");
        drop(guard.stdin.take());
        guard.wait().expect("the guard ends");
    }

    /// Starts the server again, on what a crash has left behind.
    pub fn restart(&mut self) {
        self.run();
        // PostgreSQL refuses to start while a process of the one that was killed is still there.
        for _ in 0..1_000 {
            if self.listens() {
                break;
            }
            self.crash();
            self.run();
        }
        self.must_listen();
        std::fs::remove_file(self.folder.join("keep")).expect("the folder can be written to");
    }

    /// Waits until it listens to its port, or has ended.
    fn listens(&self) -> bool {
        let pid = self.guard.as_ref().map(|(_, pid)| pid).expect("it was started");
        let is_running = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let begin = Instant::now();
        while is_running() {
            if self.is_ready(pid) && TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            assert!(begin.elapsed() < PATIENCE, "it runs but does not listen: {}", self.log());
            std::thread::yield_now();
        }
        false
    }

    fn must_listen(&self) {
        assert!(self.listens(), "it does not start: {}", self.log());
    }

    /// Whether it is this process that would listen. One that PostgreSQL has started just before it was killed may have its port for a
    /// moment.
    fn is_ready(&self, pid: &str) -> bool {
        let says = |said: String| said.lines().next() == Some(pid) && said.contains("ready");
        self.name != "postgres" || std::fs::read_to_string(self.folder.join("pg/postmaster.pid")).is_ok_and(says)
    }

    /// What it has said.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_else(|error| error.to_string())
    }

    /// The port that it listens to, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a store that is not there yet.
    pub fn new_url(&self) -> String {
        self.new_url_through(self.port)
    }

    /// As [`new_url`](Server::new_url), through a proxy's port.
    pub fn new_url_through(&self, port: u16) -> String {
        static STORES: AtomicU32 = AtomicU32::new(0);
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        match self.name {
            "mysql" => format!("mysql://tests:secret@127.0.0.1:{port}/tests?table=store_{number}"),
            "postgres" => format!("postgres://tests:secret@127.0.0.1:{port}/postgres?table=store_{number}"),
            "etcd" => format!("etcd://127.0.0.1:{port}/?prefix=store_{number}"),
            _ => format!("redis://127.0.0.1:{port}/0?prefix=store_{number}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((mut guard, _)) = self.guard.take() {
            drop(guard.stdin.take());
            // It ends by itself once its input has ended.
            let _ = guard.wait();
        }
        // One that has crashed has left it to a next start; and an ordinary user may not be allowed to remove it from where it is.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that nobody listens to, and that a server can also have again after it has crashed: it is none of those that a system gives
/// to connections, which could have it by then. One is even given to who connects to it while nobody listens.
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(fastrand::u16(..)));
    // Below those of Linux (32,768 and up), of macOS and Windows, and above those that services are known by.
    (0..PORTS)
        .map(|_| 20_000 + next.fetch_add(1, Ordering::Relaxed) % PORTS)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// Of how many ports one is chosen.
const PORTS: u16 = 12_000;

/// PostgreSQL and MariaDB refuse to run as root; then the account of PostgreSQL's package is used.
fn ordinary_user() -> Option<(u32, u32)> {
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").ok()?) == 0;
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| accounts.lines().find(|line| line.starts_with(&format!("{name}:")));
    let line = find("postgres").or_else(|| find("nobody")).filter(|_| root)?;
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn as_ordinary_user(program: &str) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = ordinary_user() {
        command.uid(user).gid(group);
    }
    command
}
