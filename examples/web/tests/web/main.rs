//! The service from outside: its binary, asked over HTTP and looked at in a browser.

mod browser;
mod instances;
mod page;
mod requests;
mod support;
