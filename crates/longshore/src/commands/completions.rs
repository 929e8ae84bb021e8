//! `longshore completions`: words for a shell to complete.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

/// Flags of `longshore completions`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore completions bash > /usr/share/bash-completion/completions/longshore
  longshore completions zsh > ~/.zfunc/_longshore
  longshore completions fish > ~/.config/fish/completions/longshore.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn run(self, command: &mut clap::Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "longshore", &mut script);
        Ok(io::stdout().lock().write_all(&script)?)
    }
}
