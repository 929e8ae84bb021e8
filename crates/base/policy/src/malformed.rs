//! What is wrong with a policy document, in AWS's words, and where.

use std::fmt;

/// A place in a document's text; both count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The place of the byte `at` in `text`.
    pub(crate) fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a document is refused: the text of `MalformedPolicyDocument`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Malformed {
    /// What AWS says.
    pub text: String,
    /// Where in the document, such as `Statement[2].Action`; empty for the whole.
    pub place: String,
    /// Where in the text.
    pub position: Position,
}

impl Malformed {
    /// The text with its place, for people: AWS's words alone often do not say where to look.
    pub fn located(&self) -> String {
        match self.place.as_str() {
            "" => format!("{} ({})", self.text, self.position),
            place => format!("{} ({place}, {})", self.text, self.position),
        }
    }
}

/// A wrong thing before its position is known: the text, the place, the byte.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) text: String,
    pub(crate) place: String,
    pub(crate) at: usize,
}

impl Wrong {
    pub(crate) fn new(text: impl Into<String>, place: impl Into<String>, at: usize) -> Self {
        Self { text: text.into(), place: place.into(), at }
    }

    pub(crate) fn syntax(place: impl Into<String>, at: usize) -> Self {
        Self::new("Syntax errors in policy.", place, at)
    }

    pub(crate) fn legacy(place: impl Into<String>, at: usize) -> Self {
        Self::new("The policy failed legacy parsing", place, at)
    }

    pub(crate) fn in_text(self, text: &str) -> Malformed {
        let position = Position::of(text, self.at);
        Malformed { text: self.text, place: self.place, position }
    }
}
