//! Amazon ECS that anyone can run: one binary, several roles.

mod cli;
mod clock;
mod commands;
mod output;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
