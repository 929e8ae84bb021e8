//! Values that are never printed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value; its `Debug` says nothing of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden<T>(T);

impl<T> Hidden<T> {
    /// Hides it.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for its owner.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown() {
        let hidden = Hidden::new("word".to_owned());
        assert_eq!(format!("{hidden:?} {hidden:#?}"), "(…) (…)");
        assert_eq!(hidden.expose(), "word");
    }
}
