//! The options of ours in a server's URL: those after its `?`.

use crate::error::{Error, ErrorKind, Result};

/// How many connections there are at most, unless the URL says so.
#[cfg(any(feature = "mysql", feature = "postgres"))]
const CONNECTIONS: usize = 8;

/// Whether to encrypt. What is encrypted is verified.
#[cfg(any(feature = "mysql", feature = "postgres"))]
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Encryption {
    Off,
    /// If the server can.
    Preferred,
    Required,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Encryption {
    /// What is done where the URL does not say.
    pub(crate) fn unless_local(is_local: bool) -> Self {
        if is_local { Self::Off } else { Self::Required }
    }
}

/// A server's URL, and the options that were taken out of it.
pub(crate) struct Options {
    /// The URL without the options taken.
    pub(crate) url: String,
}

impl Options {
    pub(crate) fn of(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// Takes the option called `name` out of the URL.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>> {
        let Some((head, query)) = self.url.split_once('?') else { return Ok(None) };
        let is_it = |option: &&str| option.split('=').next() == Some(name);
        let found = query.split('&').find(is_it).map(|option| option.split_once('=').map_or("", |(_, value)| value));
        let value = found.map(|value| decode(value).ok_or_else(|| invalid(name, "it is not text"))).transpose()?;
        let rest: Vec<&str> = query.split('&').filter(|option| !is_it(option)).collect();
        self.url = if rest.is_empty() { head.to_owned() } else { format!("{head}?{}", rest.join("&")) };
        Ok(value)
    }

    /// The name of an option that was not taken, to be told. Where a `@` follows, it may be a part of the password, and is not told.
    #[cfg(any(feature = "etcd", feature = "mysql"))]
    pub(crate) fn next_name(&self) -> Option<&str> {
        let (_, query) = self.url.split_once('?').filter(|(_, query)| !query.is_empty())?;
        if query.contains('@') { Some("…") } else { query.split(['=', '&']).next() }
    }

    /// Takes the option `connections`: how many there are at most.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(crate) fn take_connections(&mut self) -> Result<usize> {
        let Some(number) = self.take("connections")? else { return Ok(CONNECTIONS) };
        let number = number.parse().ok().filter(|n| (1..=1000).contains(n));
        number.ok_or_else(|| invalid("connections", "write a number from 1 to 1000"))
    }

    /// Takes the option `sslmode`. Unless it says something else, only what stays on this machine is not encrypted.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(crate) fn take_encryption(&mut self) -> Result<Option<Encryption>> {
        match self.take("sslmode")?.as_deref() {
            None => Ok(None),
            Some("require" | "verify-ca" | "verify-full") => Ok(Some(Encryption::Required)),
            Some("allow" | "prefer") => Ok(Some(Encryption::Preferred)),
            Some("disable") => Ok(Some(Encryption::Off)),
            Some(_) => Err(invalid("sslmode", "write `disable`, `prefer`, `require` or `verify-full`")),
        }
    }

    /// Takes an option that names something on the server: letters, digits and `_`, the first not a digit.
    pub(crate) fn take_name(&mut self, name: &str, default: &str) -> Result<String> {
        let value = self.take(name)?.unwrap_or_else(|| default.to_owned());
        let plain = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !plain || value.is_empty() || value.len() > 40 || value.as_bytes()[0].is_ascii_digit() {
            return Err(invalid(name, "write up to 40 of `a` to `z`, `0` to `9` and `_`, the first not a digit"));
        }
        Ok(value)
    }
}

pub(crate) fn invalid(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Setup, format!("the URL's option `{name}` cannot be used: {why}"))
}

/// Text with `%` and two digits for bytes.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_taken_out_of_the_url() {
        let mut options = Options::of("redis://host/1?a=1&prefix=mine&b=%20x");
        assert_eq!(options.take("prefix").expect("text").as_deref(), Some("mine"));
        assert_eq!(options.take("b").expect("text").as_deref(), Some(" x"));
        assert_eq!(options.take("c").expect("text"), None);
        assert_eq!(options.url, "redis://host/1?a=1");
        assert_eq!(options.take("a").expect("text").as_deref(), Some("1"));
        assert_eq!(options.url, "redis://host/1");
    }

    #[test]
    fn names_that_would_need_quoting_are_refused() {
        for name in ["", "1a", "a-b", "A", "a;drop", "%00"] {
            assert!(Options::of(&format!("x://h/?table={name}")).take_name("table", "t").is_err(), "{name}");
        }
        assert_eq!(Options::of("x://h/").take_name("table", "t").expect("the default"), "t");
    }
}
