//! Lines of output, put together from the pieces that shims cut long ones into.

use serde::Deserialize;

/// The longest line in bytes: what Docker's awslogs driver takes, and one event of CloudWatch held
/// for many years. Longer ones come in pieces.
pub const LINE_BYTES_MAX: usize = 262_118;

/// Which of the two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Source {
    /// `stdout`, `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A piece of output as a file has it: a line with its end, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub at_ns: i64,
    /// Where it was written.
    pub source: Source,
    /// The text.
    pub text: String,
    /// Its place in the output, and ...
    pub start: u64,
    /// ... the place behind it.
    pub end: u64,
}

/// A line without its end, or several that make one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its first piece was written: nanoseconds since 1970.
    pub at_ns: i64,
    /// Where it was written.
    pub source: Source,
    /// The text.
    pub text: String,
    /// The place of its first piece.
    pub start: u64,
}

/// Puts lines together.
#[derive(Debug, Default)]
pub struct Joiner {
    open: [Option<Line>; 2],
}

impl Joiner {
    /// Takes a piece; the line that it ends.
    pub fn take(&mut self, entry: Entry) -> Option<Line> {
        let slot = &mut self.open[entry.source as usize];
        let (text, is_end) = match entry.text.strip_suffix('\n') {
            Some(text) => (text, true),
            None => (entry.text.as_str(), false),
        };
        let line = match slot.take() {
            Some(mut line) => {
                line.text.push_str(text);
                line
            }
            None => Line {
                at_ns: entry.at_ns,
                source: entry.source,
                text: text.to_owned(),
                start: entry.start,
            },
        };
        // One more piece of 16 KiB must not make it too long.
        if is_end || line.text.len() + 16 * 1024 > LINE_BYTES_MAX {
            return Some(line);
        }
        *slot = Some(line);
        None
    }

    /// What is left of lines without an end, the earlier one first.
    pub fn finish(&mut self) -> Vec<Line> {
        let mut rest: Vec<Line> = self.open.iter_mut().filter_map(Option::take).collect();
        rest.sort_by_key(|line| line.start);
        rest
    }

    /// The place of the first piece that waits for its line's end.
    pub fn pending(&self) -> Option<u64> {
        self.open.iter().flatten().map(|line| line.start).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(source: Source, text: &str, start: u64) -> Entry {
        Entry { at_ns: start as i64, source, text: text.to_owned(), start, end: start + 1 }
    }

    #[test]
    fn pieces_of_both_outputs_become_their_lines() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.take(entry(Source::Stdout, "a", 1)), None);
        assert_eq!(joiner.take(entry(Source::Stderr, "x", 2)), None);
        assert_eq!(joiner.pending(), Some(1));
        let line = joiner.take(entry(Source::Stdout, "b\n", 3)).map(|line| (line.text, line.start));
        assert_eq!(line, Some(("ab".to_owned(), 1)));
        assert_eq!(joiner.pending(), Some(2));
        let rest: Vec<String> = joiner.finish().into_iter().map(|line| line.text).collect();
        assert_eq!(rest, ["x"]);
        assert_eq!(joiner.pending(), None);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut joiner = Joiner::default();
        let piece = "é".repeat(8 * 1024);
        let mut lines = 0;
        for number in 0..40 {
            if let Some(line) = joiner.take(entry(Source::Stdout, &piece, number)) {
                assert!(line.text.len() <= LINE_BYTES_MAX);
                lines += 1;
            }
        }
        assert_eq!(lines, 2);
    }
}
