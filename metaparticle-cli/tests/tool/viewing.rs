//! What is printed, and what `set` and `rm` change.

use super::support::{done, fails, filled, records, run, text};

#[test]
fn types_are_listed_with_counts_and_sizes() {
    let (_folder, path) = filled();
    let lines = done(&["--store", &path, "ls"]);
    let line = lines.lines().find(|line| line.trim_start().starts_with("Account")).expect("accounts");
    assert_eq!(line.split_whitespace().take(3).collect::<Vec<_>>(), ["Account", "text", "7"]);
    assert!(lines.contains("Page<String>") && lines.contains("every kind"), "{lines}");
    let lines = done(&["--store", &path, "--json", "ls"]);
    let line = lines.lines().find(|line| line.contains("\"line\"")).expect("lines");
    assert!(line.starts_with("{\"type\":\"line\",\"key_type\":\"(text, u64)\",\"objects\":6,\"bytes\":"), "{line}");
}

#[test]
fn objects_are_listed_by_the_beginning_of_their_keys() {
    let (_folder, path) = filled();
    let keys = |arguments: &[&str]| {
        let arguments = [&["--store", &path, "ls"], arguments].concat();
        let lines = done(&arguments);
        lines
            .lines()
            .skip(1)
            .map(|line| line.trim_start().split_once("  ").expect("two columns").1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&["Account", "an"]), ["ann", "anna"]);
    assert_eq!(keys(&["line", "[\"a\"]"]), ["[\"a\",0]", "[\"a\",1]", "[\"a\",2]"]);
    assert_eq!(keys(&["line", "[\"a\", 1]"]), ["[\"a\",1]"]);
    assert_eq!(keys(&["signed"]), ["-9223372036854775808", "-5", "0", "9223372036854775807"]);
    assert_eq!(keys(&["Account", "\u{1b}"]), ["\\u{1b}[2J"]);
    assert_eq!(done(&["--store", &path, "--json", "ls", "byte"]).trim(), "{\"type\":\"byte\",\"key\":200,\"bytes\":12}");
    fails(2, &["--store", &path, "ls", "signed", "1"]);
    fails(2, &["--store", &path, "ls", "line", "[\"a\", 1, 2]"]);
}

#[test]
fn an_object_is_printed_by_its_key_of_any_type() {
    let (_folder, path) = filled();
    for (name, key) in [
        ("Account", "ann"),
        ("Account", ""),
        ("signed", "-5"),
        ("signed", "-9223372036854775808"),
        ("unsigned", "18446744073709551615"),
        ("huge", "340282366920938463463374607431768211455"),
        ("huge signed", "-170141183460469231731687303715884105728"),
        ("id", "00000000-0000-0000-0000-00000000004d"),
        ("line", "[\"a\", 2]"),
        ("deep", "[[-3, \"x\"], 9]"),
        ("Page<u8>", "home"),
        ("every kind", "number 3"),
    ] {
        done(&["--store", &path, "get", name, key]);
        assert!(done(&["--store", &path, "--json", "get", name, key]).contains("\"schema\":0"));
    }
    let table = done(&["--store", &path, "get", "Settings"]);
    assert!(table.contains("theme") && table.contains("text") && table.contains("\"dark\""), "{table}");
    // After `--`, also a key like an option.
    assert!(done(&["--store", &path, "get", "Account", "--", "-dash"]).contains("-dash"));
    // Nothing stored controls the terminal.
    assert!(!done(&["--store", &path, "get", "every kind", "number 3"]).contains('\u{1b}'));
    assert!(fails(3, &["--store", &path, "get", "Account", "nobody"]).contains("there is no Account \"nobody\""));
    assert!(fails(3, &["--store", &path, "get", "Acount", "ann"]).contains("it has Account"));
    assert!(fails(2, &["--store", &path, "get", "signed", "a"]).contains("keys of signed are of type i64"));
    assert!(fails(2, &["--store", &path, "get", "byte", "256"]).contains("u8"));
    assert!(fails(2, &["--store", &path, "get", "Settings", "x"]).contains("singleton"));
    assert!(fails(2, &["--store", &path, "get", "Account"]).contains("which Account"));
}

#[test]
fn fields_are_set_and_all_others_stay() {
    let (_folder, path) = filled();
    assert_eq!(
        done(&["--store", &path, "set", "Account", "ann", "balance=-7", "owner=\"Ann = \\\"A\\\"\""]).trim(),
        "Account \"ann\" is changed"
    );
    let line = done(&["--store", &path, "--json", "get", "Account", "ann"]);
    assert!(line.contains("{\"balance\":-7,\"owner\":\"Ann = \\\"A\\\"\"}"), "{line}");
    assert!(done(&["--store", &path, "set", "Account", "ann", "balance=-7"]).contains("already"));
    done(&["--store", &path, "set", "Settings", "theme=\"light\""]);
    let before = done(&["--store", &path, "--json", "get", "every kind", "number 1"]);
    for field in [
        "forms=[{\"Text\":{\"size\":3,\"content\":\"x\"}},\"Point\"]",
        "floats=[1, \"NaN\", -0.5]",
        "huge=[-1, 1]",
        "nested=[{\"some\":{\"some\":1}}]",
        "secret={\"opaque\":\"fbe90306\"}",
    ] {
        let arguments = ["--store", &path, "set", "every kind", "number 1", field];
        // Of an option in an option, the inner one cannot be null.
        match field.starts_with("nested") {
            true => drop(fails(2, &arguments)),
            false => drop(done(&arguments)),
        }
    }
    let after = done(&["--store", &path, "--json", "get", "every kind", "number 1"]);
    let by_text = |line: &str| line.split("\"by_text\":").nth(1).map(|rest| rest.split('}').next().map(str::to_owned));
    assert!(before != after && by_text(&before) == by_text(&after));
    assert!(after.contains("\"floats\":[1.0,\"NaN\",-0.5]"), "{after}");
}

#[test]
fn a_value_of_another_shape_is_refused_with_field_and_shape() {
    let (_folder, path) = filled();
    let before = records(&path);
    for (object, field, messages) in [
        (["Account", "ann"], "balance=\"5\"", ["`balance` is i64", "not \"5\""]),
        (["Account", "ann"], "balance=9223372036854775808", ["`balance` is i64", "expected an integer"]),
        (["Account", "ann"], "balance=1.5", ["`balance` is i64", "not 1.5"]),
        (["Account", "ann"], "owner=Ann", ["`owner`, which is text", "needs quotes"]),
        (["Account", "ann"], "owner=null", ["`owner` is text", "not null"]),
        (["Account", "ann"], "ownr=\"x\"", ["no field `ownr`", "balance, owner"]),
        (["Account", "ann"], "balance", ["FIELD=JSON", "balance"]),
        (["every kind", "number 1"], "small=[1,256,1,1,1,1]", ["`small` is (i8, u8", "at `[1]`"]),
        (["every kind", "number 1"], "forms=[\"Square\"]", ["a variant of Form", "Point, Circle"]),
        (["every kind", "number 1"], "forms=[{\"Text\":{\"size\":3}}]", ["`forms`", "with its `content`"]),
        (["every kind", "number 1"], "array=[1,2]", ["`array` is [u16; 3]", "an array of 3"]),
        (["every kind", "number 1"], "character=\"ab\"", ["`character` is char", "one character"]),
        (["every kind", "number 1"], "floats=[1e999]", ["`floats`", "f64"]),
        (["every kind", "number 1"], "floats=[\"1\"]", ["`floats`", "f64"]),
    ] {
        let error = fails(2, &["--store", &path, "set", object[0], object[1], field]);
        assert!(messages.iter().all(|message| error.contains(message)), "{field}: {error}");
    }
    fails(3, &["--store", &path, "set", "Account", "nobody", "balance=1"]);
    assert_eq!(records(&path), before);
}

#[test]
fn an_object_is_removed_only_when_confirmed() {
    let (_folder, path) = filled();
    assert!(fails(2, &["--store", &path, "rm", "Account", "ann"]).contains("--yes"));
    done(&["--store", &path, "get", "Account", "ann"]);
    done(&["--store", &path, "rm", "--yes", "Account", "ann"]);
    fails(3, &["--store", &path, "get", "Account", "ann"]);
    fails(3, &["--store", &path, "rm", "--yes", "Account", "ann"]);
    done(&["--store", &path, "rm", "Settings", "--yes"]);
}

#[test]
fn schemas_and_stats_are_printed() {
    let (_folder, path) = filled();
    let schemas = done(&["--store", &path, "schema"]);
    assert!(schemas.contains("line, key: (text, u64)\n  schema 0\n    n: u8\n"), "{schemas}");
    assert!(schemas.contains("secret: struct Secret(") && schemas.contains("opaque"), "{schemas}");
    let line = done(&["--store", &path, "--json", "schema", "Account"]);
    assert!(line.contains("[[{\"name\":\"balance\",\"shape\":\"i64\"},{\"name\":\"owner\",\"shape\":\"text\"}]]"), "{line}");
    assert!(done(&["--store", &path, "stats"]).contains("0: 7"));
    assert!(done(&["--store", &path, "--json", "stats"]).contains("\"by_schema\":{\"0\":7}"));
}

#[test]
fn help_and_completions_are_there() {
    let help = done(&["--help"]);
    for part in ["Examples:", "Exit codes:", "METAPARTICLE_STORE", "copy"] {
        assert!(help.contains(part), "{part}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(done(&["completions", shell]).contains("metaparticle"), "{shell}");
    }
    let output = run(&["get"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
