//! `docs/state-machines.md`: pictures of the state machines, from the tables that run.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::Mode;

/// Where the tables stand (`model/machine.rs`).
const SOURCES: &str = "crates/services/ecs/src/model";
/// What a table begins with.
const TABLE: &str = "\nmachine! {\n";

/// One table: what it is of, and its moves as (from, event, to).
#[derive(Debug, PartialEq)]
struct Machine {
    state: String,
    event: String,
    moves: Vec<(String, String, String)>,
    states: Vec<String>,
}

/// Writes or checks the pictures.
///
/// # Errors
/// If a table cannot be read, or in check mode if the pictures are stale.
pub fn run(root: &Path, mode: Mode) -> Result<()> {
    let mut files: Vec<_> = std::fs::read_dir(root.join(SOURCES))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let mut text = String::from(
        "# State machines\n\nDrawn by `cargo xtask machines` from the tables in \
         `crates/services/ecs/src/model`; do not edit. An event that is not drawn cannot happen \
         in that state, or changes nothing there.\n",
    );
    for file in files {
        let source = std::fs::read_to_string(&file)?;
        for table in source.split(TABLE).skip(1) {
            let machine = read(table).with_context(|| file.display().to_string())?;
            draw(&mut text, &machine)?;
        }
    }
    mode.put(&root.join("docs/state-machines.md"), &text, "machines")
}

/// Reads a table from behind its first line.
fn read(table: &str) -> Result<Machine> {
    let body = table.split("\n}\n").next().unwrap_or_default();
    let (head, rows) = body.split_once('{').context("a table has no rows")?;
    let (state, event) = head.trim().split_once(" by ").context("a table names no event")?;
    let mut machine = Machine {
        state: state.trim().to_owned(),
        event: event.trim().to_owned(),
        moves: Vec::new(),
        states: Vec::new(),
    };
    let mut rest = rows;
    while let Some((from, after)) = rest.split_once('{') {
        let Some((moves, after)) = after.split_once('}') else { bail!("a row has no end") };
        let from = from.trim().to_owned();
        for one in moves.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let (event, to) = one.split_once("=>").context("a move leads nowhere")?;
            machine.moves.push((from.clone(), event.trim().to_owned(), to.trim().to_owned()));
        }
        machine.states.push(from);
        rest = after;
    }
    Ok(machine)
}

fn draw(text: &mut String, machine: &Machine) -> Result<()> {
    let Machine { state, event, moves, states } = machine;
    let first = states.first().context("a machine has no state")?;
    write!(text, "\n## {state} by {event}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {first}\n")?;
    for (from, event, to) in moves.iter().filter(|(from, _, to)| from != to) {
        writeln!(text, "    {from} --> {to}: {event}")?;
    }
    text.push_str("```\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_and_drawn() {
        let table = "    Lamp by Press {\n        Off { Pressed => On }\n        On {\n            \
                     Pressed => Off, Held => On,\n        }\n    }\n}\n\nfn other() {}\n";
        let machine = read(table).unwrap_or_else(|error| panic!("{error:#}"));
        let one =
            |from: &str, event: &str, to: &str| (from.to_owned(), event.to_owned(), to.to_owned());
        let moves =
            [one("Off", "Pressed", "On"), one("On", "Pressed", "Off"), one("On", "Held", "On")];
        assert_eq!(machine.moves, moves);
        let mut text = String::new();
        assert!(draw(&mut text, &machine).is_ok());
        assert!(
            text.contains("    [*] --> Off\n    Off --> On: Pressed\n    On --> Off: Pressed\n```")
        );
    }
}
