//! Chromium without a window, driven over its DevTools protocol.

use std::io::{BufRead, BufReader, Write, copy, sink};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

const PROGRAM: &str = "/usr/bin/chromium";

/// Whether there is a browser. If not, says that `test` was not run, and fails where that must not be.
pub(crate) fn is_there(test: &str) -> bool {
    if Path::new(PROGRAM).exists() {
        return true;
    }
    let message = format!("NOT RUN: {test}; {PROGRAM} is missing, `apt-get install chromium` brings it");
    assert!(std::env::var_os("CI").is_none(), "{message}");
    // Past the harness, which keeps back what tests that pass have printed.
    let _ = writeln!(std::io::stderr(), "{message}");
    false
}

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    page: WebSocket<TcpStream>,
    requests: u64,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page, and waits until it is loaded.
    pub(crate) fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(PROGRAM);
        // The sandbox does not work for root, and the only page is our own.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the browser starts");
        let mut says = BufReader::new(child.stderr.take().expect("its output"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(says.read_line(&mut line).expect("it says where it listens"), 0, "the browser has ended");
            if let Some(url) = line.trim().strip_prefix("DevTools listening on ws://") {
                break url.split('/').next().expect("an address").to_owned();
            }
        };
        // What else it says must not fill the pipe.
        thread::spawn(move || copy(&mut says, &mut sink()));

        let mut target = ureq::put(format!("http://{address}/json/new")).send_empty().expect("a new page");
        let target: Value = target.body_mut().read_json().expect("JSON");
        let stream = TcpStream::connect(&address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(100))).expect("is set");
        let url_of_page = target["webSocketDebuggerUrl"].as_str().expect("its URL");
        let (page, _) = tungstenite::client(url_of_page, stream).expect("a WebSocket");
        let mut browser = Self { child, page, requests: 0, _profile: profile };
        browser.call("Page.enable", json!({}));
        browser.call("Page.navigate", json!({ "url": url }));
        while browser.read()["method"] != "Page.loadEventFired" {}
        browser
    }

    /// The value of an expression, or of what it promises.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let answer =
            self.call("Runtime.evaluate", json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }));
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until a condition holds, which is looked at whenever the page has changed.
    pub(crate) fn wait_until(&mut self, condition: &str) {
        self.evaluate(&format!(
            "new Promise(done => {{
                const look = () => {{ if ({condition}) {{ observer.disconnect(); done(); }} }};
                const observer = new MutationObserver(look);
                observer.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                look();
            }})"
        ));
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let request = json!({ "id": self.requests, "method": method, "params": params });
        self.page.send(Message::text(request.to_string())).expect("is sent");
        loop {
            let answer = self.read();
            if answer["id"] == self.requests {
                assert!(answer["error"].is_null(), "{answer}");
                return answer["result"].clone();
            }
        }
    }

    fn read(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.page.read().expect("the browser answers in time") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
