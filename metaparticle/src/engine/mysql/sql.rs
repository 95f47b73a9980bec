//! Every SQL text. Keys, ids and records are hexadecimal literals in it, or parameters; never text that would need quoting.

use mysql_async::Value;

use super::steps::Steps;

/// A record of more bytes is sent as a parameter, which takes a round trip of its own, but half the bytes.
const LITERAL: usize = 64 << 10;
/// One statement names as many keys at most, and ends once they have so many bytes together. With long lists, servers plan otherwise
/// than by looking up one key after the other.
const KEYS: (usize, usize) = (250, 16 << 10);

/// How many ids are forgotten in one go.
pub(super) const FORGOTTEN: usize = KEYS.0;

/// SQL for tables of one name.
pub(super) struct Sql {
    pub(super) table: String,
    pub(super) commits: String,
    upsert: String,
    put: String,
}

impl Sql {
    /// `table` is a plain name; it is quoted for being a word of SQL.
    pub(super) fn of(table: &str) -> Self {
        let upsert = " ON DUPLICATE KEY UPDATE version = VALUES(version), bytes = VALUES(bytes)";
        Self {
            table: format!("`{table}`"),
            commits: format!("`{table}_commits`"),
            upsert: upsert.to_owned(),
            put: format!("INSERT INTO `{table}` (`key`, version, bytes) VALUES (?, ?, ?){upsert}"),
        }
    }

    /// The names of the two tables, as text.
    pub(super) fn names(&self) -> [String; 2] {
        [&self.table, &self.commits].map(|name| format!("'{}'", name.trim_matches('`')))
    }

    /// The records of `keys`, without their bytes where they have a version in `current`, each given as its key and that version.
    pub(super) fn records(&self, keys: &[&[u8]], current: &[Vec<u8>], lock: Lock) -> String {
        let mut text = String::from("SELECT `key`, version, ");
        if current.is_empty() {
            text.push_str("bytes");
        } else {
            text.push_str("IF(CONCAT(`key`, version) IN (");
            list(&mut text, current.iter().map(|key| &**key));
            text.push_str("), NULL, bytes)");
        }
        // Otherwise a small table would be read from one end to the other, and locked so.
        text.push_str(&format!(" FROM {} FORCE INDEX (PRIMARY) WHERE `key` IN (", self.table));
        list(&mut text, keys.iter().copied());
        text.push(')');
        text.push_str(lock.sql());
        text
    }

    /// The keys from `start` up to, and without, `end`.
    pub(super) fn keys(&self, start: &[u8], end: &[u8]) -> String {
        self.range("`key`", start, end, Lock::Share.sql())
    }

    /// The first records of the same.
    pub(super) fn page(&self, start: &[u8], end: &[u8], limit: usize) -> String {
        self.range("`key`, version, bytes", start, end, &format!(" LIMIT {limit}{}", Lock::Share.sql()))
    }

    fn range(&self, what: &str, start: &[u8], end: &[u8], rest: &str) -> String {
        let mut text = format!("SELECT {what} FROM {} FORCE INDEX (PRIMARY) WHERE `key` >= ", self.table);
        literal(&mut text, start);
        text.push_str(" AND `key` < ");
        literal(&mut text, end);
        text.push_str(" ORDER BY `key`");
        text.push_str(rest);
        text
    }

    /// Whether a commit's id belongs to a commit or to a refusal.
    pub(super) fn id(&self, id: &[u8]) -> String {
        let mut text = format!("SELECT applied FROM {} WHERE id = ", self.commits);
        literal(&mut text, id);
        text.push_str(Lock::Exclusive.sql());
        text
    }

    pub(super) fn claim(&self, id: &[u8], applies: bool) -> String {
        let mut text = format!("INSERT INTO {} (id, applied, made) VALUES (", self.commits);
        literal(&mut text, id);
        text.push_str(&format!(", {}, UNIX_TIMESTAMP())", u8::from(applies)));
        text
    }

    /// Writes `records`, which get this version, whether or not there are others in their place.
    pub(super) fn write<'a>(&'a self, steps: &mut Steps<'a>, records: &[(&[u8], &[u8])], version: &[u8]) {
        for run in records.chunk_by(|one, next| is_small(one.1) == is_small(next.1)) {
            if is_small(run[0].1) {
                self.insert(steps, run, version, &self.upsert);
                continue;
            }
            for (key, bytes) in run {
                steps.one(&self.put, vec![Value::from(*key), Value::from(version), Value::from(*bytes)]);
            }
        }
    }

    /// Writes small `records` where there are none. One that is there is an error.
    pub(super) fn write_new(&self, steps: &mut Steps<'_>, records: &[(&[u8], &[u8])], version: &[u8]) {
        self.insert(steps, records, version, "");
    }

    fn insert(&self, steps: &mut Steps<'_>, records: &[(&[u8], &[u8])], version: &[u8], rest: &str) {
        for records in groups(records, |(key, bytes)| key.len() + bytes.len()) {
            let mut text = format!("INSERT INTO {} (`key`, version, bytes) VALUES ", self.table);
            for (index, (key, bytes)) in records.iter().enumerate() {
                text.push_str(if index == 0 { "(" } else { ", (" });
                list(&mut text, [*key, version, *bytes].into_iter());
                text.push(')');
            }
            text.push_str(rest);
            steps.add(text);
        }
    }

    pub(super) fn remove(&self, steps: &mut Steps<'_>, keys: &[&[u8]]) {
        for keys in groups(keys, |key| key.len()) {
            let mut text = format!("DELETE FROM {} WHERE `key` IN (", self.table);
            list(&mut text, keys.iter().copied());
            text.push(')');
            steps.add(text);
        }
    }

    /// [`FORGOTTEN`] ids of commits made longer than `seconds` ago. Read without locks.
    pub(super) fn old_ids(&self, seconds: u64) -> String {
        format!("SELECT id FROM {} WHERE made < UNIX_TIMESTAMP() - {seconds} LIMIT {FORGOTTEN}", self.commits)
    }

    pub(super) fn forget(&self, ids: &[Vec<u8>]) -> String {
        let mut text = format!("DELETE FROM {} WHERE id IN (", self.commits);
        list(&mut text, ids.iter().map(|id| &**id));
        text.push(')');
        text
    }
}

/// How a read locks the records that it finds, and the gaps where it finds none, until the transaction ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Not at all.
    None,
    /// Against writing.
    Share,
    /// Also against other such reads: what will be written.
    Exclusive,
}

impl Lock {
    fn sql(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Share => " LOCK IN SHARE MODE",
            Self::Exclusive => " FOR UPDATE",
        }
    }
}

/// Cuts `items` into parts that one statement can name.
pub(super) fn groups<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let within = |item: &T| {
            let fits = sum < KEYS.1;
            sum += bytes(item);
            fits
        };
        let count = rest.iter().take(KEYS.0).map(within).take_while(|fits| *fits).count();
        let (group, after) = rest.split_at(count);
        rest = after;
        (!group.is_empty()).then_some(group)
    })
}

/// Whether a record is sent as a literal.
pub(super) fn is_small(bytes: &[u8]) -> bool {
    bytes.len() <= LITERAL
}

fn list<'a>(text: &mut String, items: impl Iterator<Item = &'a [u8]>) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        literal(text, item);
    }
}

fn literal(text: &mut String, bytes: &[u8]) {
    text.push_str("x'");
    text.push_str(&hex::encode(bytes));
    text.push('\'');
}
