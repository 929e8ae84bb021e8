//! What is wrong with an expression, and where.

/// Why a text is not an expression: which token is wrong, and what is allowed in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at offset {at}: {what}")]
pub struct QueryError {
    /// Where the trouble begins: bytes from the beginning of the text.
    pub at: usize,
    /// What is wrong there, in words.
    pub what: String,
}

impl QueryError {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}
