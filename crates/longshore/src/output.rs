//! What commands print: tables and short lines for people, JSON for scripts.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::supervisor;

/// The form of a command's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences.
    #[default]
    Text,
    /// One JSON document on standard output.
    Json,
}

/// Prints a line for people, as `println!` does, but ends the process quietly when nobody reads any
/// more.
macro_rules! say {
    () => { $crate::output::line(format_args!("")) };
    ($($what:tt)+) => { $crate::output::line(format_args!($($what)+)) };
}
pub(crate) use say;

/// What [`say`] does. Who reads has seen enough when the pipe is closed, as `head` has: the process
/// ends with success, as the commands that answer in JSON do. Not for roles that serve.
pub fn line(what: Arguments<'_>) {
    match writeln!(io::stdout().lock(), "{what}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("longshore: writing to standard output: {error}");
            std::process::exit(1)
        }
        Ok(()) => {}
    }
}

/// What a role that serves says of itself once it does, to whoever started it: it goes on also if
/// nobody reads that.
pub fn announce(format: Format, running: &impl Serialize, text: Arguments<'_>) {
    let told = match format {
        Format::Json => json(running),
        Format::Text => writeln!(io::stdout().lock(), "{text}"),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "nobody reads standard output");
    }
    supervisor::ready(&text.to_string());
}

/// Prints `value` as indented JSON with a line's end.
///
/// # Errors
/// If standard output is closed.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// Prints rows under headings, in columns as wide as their widest cell; nothing for no rows.
///
/// # Errors
/// If standard output is closed.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| Cell::new(heading.to_uppercase())));
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut out = io::stdout().lock();
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Whether progress may be drawn: only where somebody watches a terminal.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}
