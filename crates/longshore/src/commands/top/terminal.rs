//! The terminal while `top` has it: another screen, no cursor, and everything as before afterwards.

use std::io;

use anyhow::Result;
use console::Term;
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// To the other screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Back to where one was.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal that is to be given back as it was.
pub struct Borrowed {
    before: Termios,
}

impl Borrowed {
    /// Takes the terminal of standard input and output.
    ///
    /// # Errors
    /// If it is none.
    pub fn enter(term: &Term) -> Result<Self> {
        let before = tcgetattr(io::stdin())?;
        term.write_str(ENTER)?;
        Ok(Self { before })
    }

    /// Gives it back. Who waits for a key has it in raw mode still, and would leave it so.
    ///
    /// # Errors
    /// If it is gone.
    pub fn leave(self, term: &Term) -> Result<()> {
        tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before)?;
        Ok(term.write_str(LEAVE)?)
    }
}
