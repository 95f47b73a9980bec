//! The subcommand `compile`: what it takes to compile a program that uses metaparticle.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::Result;
use crate::usage::children;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many structs of 8 fields, and functions that change one, the program has.
    #[arg(long, default_value_t = 100)]
    structs: usize,
    /// How often each program is checked and built; its time is the median. With 0, only lines are counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The same program with another copy of this repository, which is in this folder.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Where the programs are built, instead of a temporary folder: what they need is built once there.
    #[arg(long)]
    target: Option<PathBuf>,
    /// A file for one object a line: a program with its medians.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One program, and what it took.
#[derive(Serialize)]
struct Program {
    program: &'static str,
    structs: usize,
    /// Processor time of `cargo check` after a change of the program, and of `cargo build`, in seconds.
    check_seconds: Option<f64>,
    build_seconds: Option<f64>,
    /// Lines of what LLVM is given.
    llvm_lines: usize,
    #[serde(skip)]
    folder: PathBuf,
}

/// Whether all of it could be compiled.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let scratch = tempfile::tempdir()?;
    let target = options.target.clone().unwrap_or_else(|| scratch.path().join("target"));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut programs = vec![program("metaparticle", options, scratch.path(), Some(&repository))?];
    if let Some(against) = &options.against {
        programs.push(program("against", options, scratch.path(), Some(against))?);
    }
    // What is left when nothing is stored: the structs, as serde has them.
    programs.push(program("serde alone", options, scratch.path(), None)?);
    for program in &mut programs {
        program.llvm_lines = program.count_lines(&target)?;
        if options.rounds > 0 {
            // What it needs is built for both.
            program.compile("check", &target)?;
            program.compile("build", &target)?;
        }
    }
    let mut times = vec![(Vec::new(), Vec::new()); programs.len()];
    for round in 0..options.rounds {
        for (program, (check, build)) in programs.iter().zip(&mut times) {
            program.change(round)?;
            check.push(program.compile("check", &target)?);
            build.push(program.compile("build", &target)?);
        }
    }
    for (program, (check, build)) in programs.iter_mut().zip(times) {
        (program.check_seconds, program.build_seconds) = (median(check), median(build));
    }
    println!("{}", table(&programs));
    if let Some(path) = &options.json {
        let lines = programs.iter().map(|program| Ok(serde_json::to_string(program)? + "\n"));
        fs::write(path, lines.collect::<Result<String>>()?)?;
    }
    Ok(true)
}

/// Writes a program into a folder of its own.
fn program(name: &'static str, options: &Options, scratch: &Path, metaparticle: Option<&Path>) -> Result<Program> {
    let folder = scratch.join(name.replace(' ', "-"));
    fs::create_dir_all(folder.join("src"))?;
    let needs = match metaparticle {
        Some(repository) => format!("metaparticle = {{ path = {:?} }}", repository.canonicalize()?.join("metaparticle")),
        None => "serde = { version = \"1\", features = [\"derive\"] }".to_owned(),
    };
    let package = name.replace(' ', "-");
    let manifest = format!(
        "[package]\nname = \"{package}-program\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{needs}\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    // The same versions of what it needs.
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock"), folder.join("Cargo.lock"))?;
    fs::write(folder.join("src/main.rs"), source(options.structs, metaparticle.is_some())?)?;
    Ok(Program { program: name, structs: options.structs, check_seconds: None, build_seconds: None, llvm_lines: 0, folder })
}

fn source(structs: usize, is_persistent: bool) -> Result<String> {
    let mut source = String::new();
    let (on_struct, on_function, result) = match is_persistent {
        true => ("#[metaparticle::persistent(default)]", "#[metaparticle::transactional]", "metaparticle::Result<u64>"),
        false => ("#[derive(Default, serde::Serialize, serde::Deserialize)]", "", "Result<u64, std::fmt::Error>"),
    };
    let fields = "a: u64, b: String, c: bool, d: i32, e: Vec<u8>, f: Option<String>, g: f64, h: u32";
    for n in 0..structs {
        writeln!(source, "{on_struct}\nstruct S{n} {{ {fields} }}")?;
        writeln!(source, "{on_function}\nfn change_{n}(s: &mut S{n}, by: u64) -> {result} {{ s.a += by; s.d = 1; Ok(s.a) }}")?;
    }
    writeln!(source, "fn main() {{")?;
    for n in 0..structs {
        match is_persistent {
            true => writeln!(source, "let _ = change_{n}(\"key\", 1);")?,
            false => writeln!(source, "let mut s = S{n}::default(); let _ = change_{n}(&mut s, 1);")?,
        }
    }
    writeln!(source, "}}")?;
    Ok(source)
}

impl Program {
    /// So that it has to be compiled again.
    fn change(&self, round: usize) -> Result<()> {
        let main = self.folder.join("src/main.rs");
        let source = fs::read_to_string(&main)?;
        Ok(fs::write(main, format!("{source}// {round}\n"))?)
    }

    /// Runs cargo; the seconds of processor time that it took.
    fn compile(&self, command: &str, target: &Path) -> Result<f64> {
        self.cargo(target, &[command])
    }

    fn count_lines(&self, target: &Path) -> Result<usize> {
        let lines = self.folder.join("lines.ll");
        self.cargo(target, &["rustc", "--", "-Ccodegen-units=1", &format!("--emit=llvm-ir={}", lines.display())])?;
        Ok(fs::read_to_string(lines)?.lines().count())
    }

    fn cargo(&self, target: &Path, arguments: &[&str]) -> Result<f64> {
        let before = children();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        let (command, rest) = arguments.split_at(1);
        cargo.args(command).args(["--offline", "--quiet"]).args(rest).current_dir(&self.folder).env("CARGO_TARGET_DIR", target);
        // What was compiled before does not make it faster, and lines are of the code alone.
        cargo.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
        let output = cargo.stdout(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} cannot be compiled: {said}", self.program).into());
        }
        Ok((children() - before).as_secs_f64())
    }
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn table(programs: &[Program]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["program", "structs", "cargo check, CPU s", "cargo build, CPU s", "lines for LLVM"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let seconds = |time: Option<f64>| time.map(|time| format!("{time:.2}")).unwrap_or_default();
    for program in programs {
        table.add_row([
            program.program.to_owned(),
            program.structs.to_string(),
            seconds(program.check_seconds),
            seconds(program.build_seconds),
            program.llvm_lines.to_string(),
        ]);
    }
    table
}
