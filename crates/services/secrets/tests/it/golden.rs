//! Calls as boto3 and the `aws` CLI make them, and the answers that they must get.
//!
//! In `golden/<name>.txt`, a line `> Target.Operation {…}` is a call; the line below it is status
//! and answer. `UPDATE_GOLDEN=1` writes the answers anew.

use std::fmt::Write;
use std::path::Path;

use ledger::MemoryStore;

use super::world::World;

async fn play(name: &str) {
    let world = World::on(MemoryStore::new());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    let script = std::fs::read_to_string(&path).unwrap();
    let mut played = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(call) = line.strip_prefix("> ") else {
            let _ = writeln!(played, "{line}");
            continue;
        };
        while lines.next_if(|line| !line.is_empty() && !line.starts_with('>')).is_some() {}
        let (target, input) = call.split_once(' ').unwrap_or((call, "{}"));
        let (status, answer) = world.ask(target, input).await;
        let _ = writeln!(played, "> {call}\n{status} {answer}");
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, played).unwrap();
        return;
    }
    for (number, (wanted, got)) in script.lines().zip(played.lines()).enumerate() {
        assert_eq!(wanted, got, "{name}.txt, line {}", number + 1);
    }
    assert_eq!(script.len(), played.len(), "{name}.txt is longer or shorter than what was said");
}

#[tokio::test]
async fn parameters() {
    play("parameters").await;
}

#[tokio::test]
async fn secrets() {
    play("secrets").await;
}
