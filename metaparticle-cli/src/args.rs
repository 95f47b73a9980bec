//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  metaparticle --store shop.db ls                         the types
  metaparticle --store shop.db ls Account an              those whose key begins with `an`
  metaparticle --store shop.db get Account ann
  metaparticle --store shop.db get line '[\"home\", 7]'     a key that is a tuple
  metaparticle --store shop.db set Account ann balance=5 'owner=\"Ann\"'
  metaparticle --store shop.db export > shop.jsonl
  metaparticle --store new.db import shop.jsonl
  metaparticle copy shop.db new.db                        from one store to another
  metaparticle --store shop.db check && echo sound

The store is given by --store or the environment variable METAPARTICLE_STORE: a path, or a URL as in `Store::open`.

Exit codes:
  0  done
  1  damage was found, or a copy is not equal to its source
  2  the command cannot be carried out as it was given: bad arguments, bad input, or not confirmed
  3  there is no such store, type, object or file
  4  the store is in use by another process
  5  the store, or a file, failed in another way
  6  others kept changing the same record";

const FORMS: &str = "\
KEY is text as it is, an integer, a UUID, or for a tuple JSON such as '[\"a\", 7]'. A singleton has none. A key that begins \
with a dash comes after `--`.";

/// Looks into metaparticle stores, changes, moves and checks them, without the program's types.
#[derive(Debug, Parser)]
#[command(name = "metaparticle", version, about, after_help = EXAMPLES, max_term_width = 120)]
pub(crate) struct Args {
    /// The store: a path or a URL.
    // A URL may hold a password.
    #[arg(long, global = true, env = "METAPARTICLE_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Prints JSON, one object a line, in place of tables.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the types with counts and sizes, or the objects of one type.
    #[command(after_help = "PREFIX is the beginning of a text, or for tuples a JSON array of their first keys.")]
    Ls {
        /// The type, by its stored name.
        #[arg(value_name = "TYPE")]
        type_name: Option<String>,
        /// Only objects whose key begins so.
        #[arg(allow_negative_numbers = true)]
        prefix: Option<String>,
    },
    /// Prints an object.
    #[command(after_help = FORMS)]
    Get {
        #[arg(value_name = "TYPE")]
        type_name: String,
        #[arg(allow_negative_numbers = true)]
        key: Option<String>,
    },
    /// Changes fields of an object that is there.
    #[command(after_help = FORMS)]
    Set {
        #[arg(value_name = "TYPE")]
        type_name: String,
        /// The key, unless the type is a singleton, and then the fields with their new values in JSON.
        #[arg(value_name = "KEY FIELD=JSON", required = true, allow_negative_numbers = true)]
        arguments: Vec<String>,
    },
    /// Removes an object, after asking.
    #[command(after_help = FORMS)]
    Rm {
        #[arg(value_name = "TYPE")]
        type_name: String,
        #[arg(allow_negative_numbers = true)]
        key: Option<String>,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Writes all objects, or those of some types, as lines of JSON to standard output, exactly.
    Export {
        #[arg(value_name = "TYPE")]
        types: Vec<String>,
    },
    /// Reads what `export` has written into the store, which is made if there is none.
    Import {
        /// The file, or `-` for standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
        /// Replaces objects that are there with other values, without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Copies all records from one store to another, and compares both at the end. Run again, it goes on where it ended.
    Copy {
        /// The store to copy.
        #[arg(value_name = "FROM_URL")]
        from: String,
        /// The store to copy to, which is made if there is none.
        #[arg(value_name = "TO_URL")]
        to: String,
        /// Copies into a store that has other objects, and replaces those that differ.
        #[arg(long)]
        yes: bool,
    },
    /// Reads every field of every object, and reports damage.
    Check,
    /// Prints the schemas of all types, or of some.
    Schema {
        #[arg(value_name = "TYPE")]
        types: Vec<String>,
    },
    /// Prints sizes and schemas in use, by type.
    Stats,
    /// Prints a completion script for a shell.
    Completions { shell: Shell },
}
