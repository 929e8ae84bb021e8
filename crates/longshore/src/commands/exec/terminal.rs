//! This process' own terminal while a session has it: raw, and as before afterwards.

use std::io::{self, IsTerminal, Read, Write};

use agent_protocol::exec::Size;
use bytes::Bytes;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// A size for clients without a terminal, as the plugin has it.
const SIZE_WITHOUT: Size = Size { cols: 300, rows: 100 };

/// Bytes that are read of the input at once.
const READ_BYTES: usize = 16 * 1024;

/// Reads of the input that wait to be sent.
const READS_MAX: usize = 16;

/// A terminal that is to be given back as it was; nothing, if standard input is none.
pub(super) struct Raw(Option<Termios>);

impl Raw {
    /// Takes the terminal: every key goes to the session, Ctrl-C too.
    pub(super) fn take() -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self(None));
        }
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // There is nobody to be told.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// The terminal's size.
pub(super) fn size() -> Size {
    match console::Term::stdout().size_checked() {
        Some((rows, cols)) if io::stdout().is_terminal() => Size { cols, rows },
        _ => SIZE_WITHOUT,
    }
}

/// What is typed, read by a thread of its own: a read of a terminal cannot be given up, so the
/// thread is left behind when the process ends. At the end of an input that is no terminal comes
/// what ends one.
pub(super) fn input() -> mpsc::Receiver<Bytes> {
    const END_OF_TRANSMISSION: &[u8] = &[4];
    let (sender, reads) = mpsc::channel(READS_MAX);
    std::thread::spawn(move || {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = io::stdin().lock().read(&mut buffer).unwrap_or_default();
            let read = match count {
                0 => Bytes::from_static(END_OF_TRANSMISSION),
                count => Bytes::copy_from_slice(&buffer[..count]),
            };
            if sender.blocking_send(read).is_err() || count == 0 {
                return;
            }
        }
    });
    reads
}

/// Prints what came.
pub(super) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
