//! The page, as a browser shows it.

use metaparticle_tests::servers;
use serde_json::json;

use super::browser::{self, Browser};
use super::support::Instance;

/// A condition: an element has exactly this text.
fn says(id: &str, text: &str) -> String {
    format!("document.getElementById({})?.textContent === {}", json!(id), json!(text))
}

#[test]
fn the_page_shows_what_another_instance_counts() {
    let name = "the page of two instances";
    if !browser::is_there(name) || !servers::is_there("postgres", name) {
        return;
    }
    let store = servers::shared("postgres").expect("the server is there").new_url();
    let (one, other) = (Instance::start(&store), Instance::start(&store));
    one.post("visits/ann");
    let mut browser = Browser::open(one.url());
    browser.wait_until(&says("visits:ann", "ann1"));
    browser.wait_until(&says("state", "live"));
    for count in 2..5 {
        assert_eq!(other.post("visits/ann").1["count"], count);
        browser.wait_until(&says("visits:ann", &format!("ann{count}")));
    }
    other.post("accounts/ben");
    browser.wait_until(&says("accounts:ben", "ben100"));
    other.send("entries", &json!({ "guest": "ben", "text": "hello" }));
    browser.wait_until("document.getElementById('entries:1')?.textContent.startsWith('ben: hello (')");
}

#[test]
fn what_is_typed_into_the_page_is_done_and_what_is_refused_is_said() {
    if !browser::is_there("the forms of the page") {
        return;
    }
    let web = Instance::start("memory:");
    let mut browser = Browser::open(web.url());
    let mut submit = |form: &str, fields: &[(&str, &str)], condition: &str| {
        for (field, text) in fields {
            browser.evaluate(&format!("document.forms[{}].elements[{}].value = {}", json!(form), json!(field), json!(text)));
        }
        browser.evaluate(&format!("document.forms[{}].querySelector('button').click()", json!(form)));
        browser.wait_until(condition);
    };
    submit("visit", &[("user", "ann / J\u{f6}rg?#%")], &says("visits:ann / J\u{f6}rg?#%", "ann / J\u{f6}rg?#%1"));
    submit("open", &[("user", "ann")], &says("accounts:ann", "ann100"));
    submit("open", &[("user", "ben")], &says("accounts:ben", "ben100"));
    submit("transfer", &[("from", "ann"), ("to", "ben"), ("amount", "30")], &says("accounts:ben", "ben130"));
    submit("transfer", &[("amount", "300")], &says("said", "the account holds 70, which is less than 300"));
    submit("sign", &[("guest", "ann"), ("text", "hello")], "document.getElementById('entries:1')");
    assert_eq!(web.get("accounts/ann").1["balance"], 70);
}

#[test]
fn hostile_text_is_shown_as_text() {
    if !browser::is_there("hostile text in the page") {
        return;
    }
    let hostile = "</script><img src=x onerror=\"window.owned=1\"><script>window.owned=1</script>";
    let web = Instance::start("memory:");
    web.send("entries", &json!({ "guest": "<b>ann</b>", "text": hostile }));
    web.post("visits/%3Cimg%20src%3Dx%20onerror%3Dwindow.owned%3D1%3E");
    let mut browser = Browser::open(web.url());
    let shown = format!("<b>ann</b>: {hostile} (");
    browser.wait_until(&format!("document.getElementById('entries:1')?.textContent.startsWith({})", json!(shown)));
    browser.wait_until("document.getElementById('visits')?.textContent === '<img src=x onerror=window.owned=1>1'");
    assert_eq!(browser.evaluate("document.querySelectorAll('img, b').length"), 0);
    assert_eq!(browser.evaluate("typeof window.owned"), "undefined");
}
