//! Instances of the service, and requests to them.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use ureq::{Agent, BodyReader};

/// A running instance. It is killed when it is dropped.
pub(crate) struct Instance {
    child: Child,
    url: String,
}

impl Instance {
    /// Starts an instance on a free port.
    pub(crate) fn start(store: &str) -> Self {
        Self::start_at(store, "127.0.0.1:0")
    }

    pub(crate) fn start_at(store: &str, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_web"));
        let mut child = command.args(["--store", store, "--listen", listen]).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("it says where it listens");
        let url = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Self { child, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The host and port.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("a URL")
    }

    /// The status, and the body as JSON.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let mut answer = client().get(format!("{}/{path}", self.url)).call().expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_json().expect("JSON"))
    }

    pub(crate) fn post(&self, path: &str) -> (u16, Value) {
        let mut answer = client().post(format!("{}/{path}", self.url)).send_empty().expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_json().expect("JSON"))
    }

    pub(crate) fn send(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send_text(path, &body.to_string())
    }

    /// Sends what may not be JSON, and says that it is.
    pub(crate) fn send_text(&self, path: &str, body: &str) -> (u16, Value) {
        let request = client().post(format!("{}/{path}", self.url)).content_type("application/json");
        let mut answer = request.send(body).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_json().expect("JSON"))
    }

    /// How often a user has been there.
    pub(crate) fn visits(&self, user: &str) -> u64 {
        self.get(&format!("visits/{user}")).1["count"].as_u64().expect("a count")
    }

    pub(crate) fn live(&self) -> Live {
        let answer = client().get(format!("{}/live", self.url)).call().expect("an answer");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Live { lines: BufReader::new(answer.into_body().into_reader()).lines() }
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an instance says that changes.
pub(crate) struct Live {
    lines: Lines<BufReader<BodyReader<'static>>>,
}

impl Live {
    /// The next state of which this is true.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.find(wanted).expect("the stream goes on")
    }
}

impl Iterator for Live {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        loop {
            let line = self.lines.next()?.expect("the stream ends as it should");
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).expect("JSON"));
            }
        }
    }
}

/// Fails rather than hang.
fn client() -> Agent {
    Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(100))).build().into()
}
