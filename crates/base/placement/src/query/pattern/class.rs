//! Classes of characters in brackets.

use super::Translation;
use crate::query::{MAX_NESTING, QueryError};

impl Translation<'_> {
    /// A class with all classes inside it. Java knows unions and intersections (`&&`), but neither
    /// the named classes (`[:alpha:]`) nor the differences (`--`, `~~`) of the `regex` crate.
    pub(super) fn class(&mut self) -> Result<(), QueryError> {
        let begin = self.at;
        let mut depth = 0;
        let mut last = ' ';
        while let Some(next) = self.peek() {
            match next {
                '[' => {
                    depth += 1;
                    self.open_class(depth)?;
                }
                // The first one in a class stands for itself.
                ']' if last == '[' => {
                    self.next();
                    self.literal(next);
                }
                ']' => {
                    self.copy(next);
                    depth -= 1;
                }
                '\\' => self.escape_in_class()?,
                '&' if self.take("&&") => self.out.push_str("&&"),
                '&' | '~' => {
                    self.next();
                    self.literal(next);
                }
                '-' if last == '-' => {
                    self.next();
                    self.literal(next);
                }
                _ => self.copy(next),
            }
            if depth == 0 {
                return Ok(());
            }
            last = next;
        }
        Err(QueryError::new(begin, "found '[' without ']'"))
    }

    fn open_class(&mut self, depth: u32) -> Result<(), QueryError> {
        if depth > MAX_NESTING {
            return Err(self.error(format!("classes are nested more than {MAX_NESTING} deep")));
        }
        self.copy('[');
        if self.take("^") {
            self.out.push('^');
        }
        if self.take(":") {
            self.out.push_str(r"\x3A");
        }
        Ok(())
    }
}
