//! The engines under test, by the names that their URLs begin with.

use std::fmt;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    Etcd,
    Fjall,
    Memory,
    Mysql,
    Postgres,
    Redis,
    Sled,
}

impl Engine {
    /// Whether it keeps stores on a server.
    pub(crate) fn is_server(self) -> bool {
        matches!(self, Self::Etcd | Self::Mysql | Self::Postgres | Self::Redis)
    }

    /// The URL of the store in `folder`, for engines that keep it in one.
    pub(crate) fn url_in(self, folder: &Path) -> String {
        format!("{self}:{}", folder.display())
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Etcd => "etcd",
            Self::Fjall => "fjall",
            Self::Memory => "memory",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Sled => "sled",
        })
    }
}
