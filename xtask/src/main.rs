//! The repository's own commands: `cargo xtask codegen | machines | support | tidy [--check]`.

mod codegen;
mod machines;
mod support;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// What `cargo xtask` answers to anything that it does not know.
const USAGE: &str = "usage: cargo xtask COMMAND

  codegen [--check]   types of services from models/ into crates/base/shapes/
  machines [--check]  docs/state-machines.md from the tables of state machines
  support [--check]   docs/support.md from models/
  tidy                edges between crates, sizes of files, what operations are decided on

With --check nothing is written; it fails if something would change.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match run(&root, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["codegen"] => codegen::run(root, Mode::Write),
        ["codegen", "--check"] => codegen::run(root, Mode::Check),
        ["machines"] => machines::run(root, Mode::Write),
        ["machines", "--check"] => machines::run(root, Mode::Check),
        ["support"] => support::run(root, Mode::Write),
        ["support", "--check"] => support::run(root, Mode::Check),
        ["tidy"] => {
            machines::run(root, Mode::Check)?;
            tidy::run(root)
        }
        _ => bail!("{USAGE}"),
    }
}

/// Whether files are written, or only compared with what would be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Write what differs.
    Write,
    /// Fail if something differs.
    Check,
}

impl Mode {
    /// Writes `text` to `path`, or checks that it stands there.
    ///
    /// # Errors
    /// If it cannot be written; in check mode, if something else stands there.
    pub fn put(self, path: &Path, text: &str, command: &str) -> Result<()> {
        if std::fs::read_to_string(path).is_ok_and(|found| found == text) {
            return Ok(());
        }
        match self {
            Self::Write => Ok(std::fs::write(path, text)?),
            Self::Check => bail!("{} is stale: run cargo xtask {command}", path.display()),
        }
    }
}
