//! The command line: what there is to say, and who carries it out.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::commands::{config, doctor};
use crate::output::Format;

/// Amazon ECS that anyone can run
#[derive(Parser, Debug)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// The form of the answer
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Tell what this machine lacks to run containers, and how to mend it
    Doctor(doctor::Doctor),
    /// Show every setting and where it came from
    Config(config::Config),
}

impl Command {
    fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Doctor(command) => command.run(format),
            Self::Config(command) => command.run(format),
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run(cli.output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longshore: {error:#}");
            ExitCode::FAILURE
        }
    }
}
