//! Golden files: calls as clients make them, and the answers that they must get.

use std::fmt::Write;
use std::path::Path;

/// Plays the script `path`: each line `> call` is asked, and must be answered with the lines below
/// it, up to an empty one or the next call. `UPDATE_GOLDEN=1` writes the answers anew.
///
/// # Panics
/// If an answer is another, naming the line; if the script cannot be read.
pub async fn play(path: &Path, mut ask: impl AsyncFnMut(&str) -> String) {
    let script = std::fs::read_to_string(path).unwrap();
    let mut played = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(call) = line.strip_prefix("> ") else {
            let _ = writeln!(played, "{line}");
            continue;
        };
        while lines.next_if(|line| !line.is_empty() && !line.starts_with('>')).is_some() {}
        let answer = ask(call).await;
        let _ = writeln!(played, "> {call}\n{}", answer.trim_end_matches('\n'));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, played).unwrap();
        return;
    }
    let name = path.display();
    for (number, (wanted, got)) in script.lines().zip(played.lines()).enumerate() {
        assert_eq!(wanted, got, "{name}, line {}", number + 1);
    }
    assert_eq!(script.len(), played.len(), "{name} is longer or shorter than what was said");
}
