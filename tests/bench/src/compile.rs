//! The subcommand `compile`: what it takes to compile programs that use metaparticle.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::figures::{Figure, Figures};
use crate::usage::children;
use crate::{Result, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many structs of 8 fields, and functions that change one, each program has.
    #[arg(long, default_value_t = 100)]
    structs: usize,
    /// How often each program is checked and built; its time is the median. With 0, only lines are counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The same programs with another copy of this repository, which is in this folder.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Where the programs are built, instead of a temporary folder: what they need is built once there.
    #[arg(long)]
    target: Option<PathBuf>,
    /// A file for one object a line: a program with its medians.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What the structs of a program have in their fields.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fields {
    /// Types of the standard library.
    Plain,
    /// One of them, a list of a struct of the program's own, which has an enum in it.
    Own,
}

impl Fields {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Own => "own",
        }
    }
}

#[derive(Serialize)]
struct Program {
    program: &'static str,
    fields: Fields,
    structs: usize,
    #[serde(skip)]
    folder: PathBuf,
}

/// Whether all of it could be compiled.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let scratch = tempfile::tempdir()?;
    let target = options.target.clone().unwrap_or_else(|| scratch.path().join("target"));
    let ours = repository();
    let mut programs = Vec::new();
    for fields in [Fields::Plain, Fields::Own] {
        programs.push(program("metaparticle", fields, options, scratch.path(), Some(&ours))?);
        if let Some(against) = &options.against {
            programs.push(program("against", fields, options, scratch.path(), Some(against))?);
        }
        // What is left when nothing is stored: the structs, as serde has them.
        programs.push(program("serde", fields, options, scratch.path(), None)?);
    }
    let mut measured = Vec::new();
    for program in programs {
        let lines = program.count_lines(&target)?;
        if options.rounds > 0 {
            // What it needs is built for both.
            program.compile(&target)?;
        }
        measured.push((program, vec![Figures::default().with(Figure::LlvmLines, lines as f64)]));
    }
    for round in 0..options.rounds {
        for (program, rounds) in &mut measured {
            program.change(round)?;
            rounds.push(program.compile(&target)?);
        }
    }
    let rows: Vec<_> = measured.into_iter().map(|(program, rounds)| (program, Figures::median(&rounds))).collect();
    let figures = [Figure::CheckSeconds, Figure::BuildSeconds, Figure::LlvmLines];
    let label =
        |program: &Program| vec![program.program.to_owned(), program.fields.name().to_owned(), program.structs.to_string()];
    println!("{}", report::table(&["program", "fields", "structs"], &figures, &rows, label));
    options.json.as_ref().map_or(Ok(true), |path| report::json(&rows, path).map(|()| true))
}

/// The copy that this program is of.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Writes a program into a folder of its own.
fn program(
    name: &'static str,
    fields: Fields,
    options: &Options,
    scratch: &Path,
    metaparticle: Option<&Path>,
) -> Result<Program> {
    let package = format!("{name}-{}", fields.name());
    let folder = scratch.join(&package);
    fs::create_dir_all(folder.join("src"))?;
    let mut needs = "serde = { version = \"1\", features = [\"derive\"] }\n".to_owned();
    if let Some(repository) = metaparticle {
        writeln!(needs, "metaparticle = {{ path = {:?} }}", repository.canonicalize()?.join("metaparticle"))?;
    }
    let manifest =
        format!("[package]\nname = \"{package}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{needs}");
    fs::write(folder.join("Cargo.toml"), manifest)?;
    // The same versions of what it needs.
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    fs::write(folder.join("src/main.rs"), source(options.structs, fields, metaparticle.is_some())?)?;
    Ok(Program { program: name, fields, structs: options.structs, folder })
}

fn source(structs: usize, fields: Fields, is_persistent: bool) -> Result<String> {
    let mut source = String::new();
    let (on_struct, on_function, result) = match is_persistent {
        true => ("#[metaparticle::persistent(default)]", "#[metaparticle::transactional]", "metaparticle::Result<u64>"),
        false => ("#[derive(Default, serde::Serialize, serde::Deserialize)]", "", "Result<u64, std::fmt::Error>"),
    };
    for n in 0..structs {
        let mut all = "u8".to_owned();
        if fields == Fields::Own {
            let derive = "#[derive(serde::Serialize, serde::Deserialize)]";
            writeln!(source, "{derive}\nenum Kind{n} {{ A, B(u32, String), C {{ x: u8, y: Option<String> }} }}")?;
            writeln!(source, "{derive}\nstruct Part{n} {{ name: String, kind: Kind{n}, at: u64 }}")?;
            all = format!("Part{n}");
        }
        let fields = format!("a: u64, b: String, c: bool, d: i32, e: Vec<{all}>, f: Option<String>, g: f64, h: u32");
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

    fn compile(&self, target: &Path) -> Result<Figures> {
        let (check, build) = (self.cargo(target, &["check"])?, self.cargo(target, &["build"])?);
        Ok(Figures::default().with(Figure::CheckSeconds, check).with(Figure::BuildSeconds, build))
    }

    fn count_lines(&self, target: &Path) -> Result<usize> {
        let lines = self.folder.join("lines.ll");
        self.cargo(target, &["rustc", "--", "-Ccodegen-units=1", &format!("--emit=llvm-ir={}", lines.display())])?;
        Ok(fs::read_to_string(lines)?.lines().count())
    }

    /// Runs cargo; the seconds of processor time that it took.
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
            return Err(format!("{} cannot be compiled: {said}", self.folder.display()).into());
        }
        Ok((children() - before).as_secs_f64())
    }
}
