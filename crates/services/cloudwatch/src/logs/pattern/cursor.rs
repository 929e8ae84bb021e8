//! Reads a pattern from left to right.

use super::Invalid;
use super::value::{Operator, Value};

/// What is left of a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.blanks();
        self.rest.is_empty()
    }

    pub(super) fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes what is wanted, after blanks, if it is there.
    pub(super) fn eat(&mut self, wanted: &str) -> bool {
        self.blanks();
        self.eat_here(wanted)
    }

    /// Takes what is wanted, if it is here.
    pub(super) fn eat_here(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a word of letters, after blanks, if it is there and ends there.
    pub(super) fn eat_word(&mut self, wanted: &str) -> bool {
        self.blanks();
        match self.rest.strip_prefix(wanted) {
            Some(rest) if !rest.starts_with(|c: char| c.is_alphanumeric()) => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// What is here of the characters that belong to it.
    pub(super) fn while_is(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// What is between here and the next `end`, which is taken too.
    pub(super) fn until(&mut self, end: char) -> Result<&'a str, Invalid> {
        let (taken, rest) = self.rest.split_once(end).ok_or(Invalid)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn operator(&mut self) -> Option<Operator> {
        self.blanks();
        let known = [
            ("!=", Operator::Differs),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("=", Operator::Is),
            ("<", Operator::Below),
            (">", Operator::Above),
        ];
        known.into_iter().find(|(text, _)| self.eat_here(text)).map(|(_, operator)| operator)
    }

    /// A value that an operator compares with; a bare word ends at a blank or one of `ends`.
    pub(super) fn value(&mut self, ends: &str) -> Result<Value, Invalid> {
        self.blanks();
        if self.eat_here("\"") {
            return Ok(Value::text(self.until('"')?));
        }
        if self.eat_here("%") {
            return Value::regex(self.until('%')?);
        }
        let word = self.while_is(|c| !c.is_whitespace() && !ends.contains(c));
        match word.is_empty() || word.contains(['=', '"', '%', '<', '>']) {
            true => Err(Invalid),
            false => Ok(Value::word(word)),
        }
    }
}
