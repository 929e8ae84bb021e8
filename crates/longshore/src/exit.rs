//! How a command ends when it did what it was to do, and the answer is no.

use std::fmt;

/// The exit code of a plan in which something does not fit, and of a check that found something.
pub const UNFIT: u8 = 3;

/// Ends the process with a code and without a word more: everything has been said.
#[derive(Debug)]
pub struct Exit(pub u8);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// Good if `is_so`, else [`UNFIT`].
///
/// # Errors
/// The end with [`UNFIT`].
pub fn unless(is_so: bool) -> anyhow::Result<()> {
    if is_so { Ok(()) } else { Err(Exit(UNFIT).into()) }
}
