//! A pattern's JSON with the place of each value, for errors.

use super::PatternError;

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 64;

/// A value and the column behind its first token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) column: usize,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    /// As it was written.
    Number(String),
    Boolean(bool),
    Null,
}

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Node, PatternError> {
    let mut source = Source { text, at: 0 };
    let node = source.value(0)?;
    source.space();
    if source.at < text.len() {
        return Err(source.wrong("Unexpected content after the pattern"));
    }
    Ok(node)
}

/// An error at a place in the pattern.
pub(super) fn error(text: &str, column: usize, reason: impl Into<String>) -> PatternError {
    PatternError { reason: reason.into(), source_text: Some(text.to_owned()), column }
}

struct Source<'a> {
    text: &'a str,
    at: usize,
}

impl Source<'_> {
    fn wrong(&self, reason: &str) -> PatternError {
        error(self.text, self.at + 1, reason)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, PatternError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("The pattern is nested too deeply"));
        }
        self.space();
        let start = self.at;
        let kind = match self.byte() {
            Some(b'{') => return self.object(depth),
            Some(b'[') => return self.array(depth),
            Some(b'"') => {
                let column = start + 2;
                return Ok(Node { column, kind: Kind::Text(self.string()?) });
            }
            Some(b'-' | b'0'..=b'9') => {
                while matches!(self.byte(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.at += 1;
                }
                let text = &self.text[start..self.at];
                if serde_json::from_str::<serde_json::Number>(text).is_err() {
                    return Err(self.wrong("A number is not valid"));
                }
                Kind::Number(text.to_owned())
            }
            Some(byte) if byte.is_ascii_alphabetic() => {
                while self.byte().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
                    self.at += 1;
                }
                match &self.text[start..self.at] {
                    "true" => Kind::Boolean(true),
                    "false" => Kind::Boolean(false),
                    "null" => Kind::Null,
                    word => {
                        let reason = format!(
                            "Unrecognized token '{word}': was expecting (JSON String, Number, \
                             Array, Object or token 'null', 'true' or 'false')"
                        );
                        return Err(self.wrong(&reason));
                    }
                }
            }
            Some(_) => {
                let c = self.text[start..].chars().next().unwrap_or_default();
                let reason = format!(
                    "Unexpected character ('{c}' (code {})): expected a valid value (JSON String, \
                     Number, Array, Object or token 'null', 'true' or 'false')",
                    u32::from(c)
                );
                return Err(self.wrong(&reason));
            }
            None => return Err(self.wrong("Unexpected end-of-input")),
        };
        Ok(Node { column: self.at + 1, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Node, PatternError> {
        self.at += 1;
        let column = self.at + 1;
        let mut entries: Vec<(String, Node)> = Vec::new();
        self.space();
        if self.byte() == Some(b'}') {
            self.at += 1;
            return Ok(Node { column, kind: Kind::Object(entries) });
        }
        loop {
            self.space();
            if self.byte() != Some(b'"') {
                return Err(self.wrong(
                    "Unexpected character: was expecting double-quote to start field name",
                ));
            }
            let name = self.string()?;
            self.space();
            if self.byte() != Some(b':') {
                return Err(self.wrong(
                    "Unexpected character: was expecting a colon to separate field name and value",
                ));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            // Of equal names the last one counts.
            entries.retain(|(other, _)| *other != name);
            entries.push((name, value));
            self.space();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => {
                    return Err(self.wrong(
                        "Unexpected character: was expecting comma to separate Object entries",
                    ));
                }
            }
        }
        self.at += 1;
        Ok(Node { column, kind: Kind::Object(entries) })
    }

    fn array(&mut self, depth: usize) -> Result<Node, PatternError> {
        self.at += 1;
        let column = self.at + 1;
        let mut items = Vec::new();
        self.space();
        if self.byte() == Some(b']') {
            self.at += 1;
            return Ok(Node { column, kind: Kind::Array(items) });
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => {
                    return Err(self.wrong(
                        "Unexpected character: was expecting comma to separate Array entries",
                    ));
                }
            }
        }
        self.at += 1;
        Ok(Node { column, kind: Kind::Array(items) })
    }

    /// A string, standing at its quotation mark.
    fn string(&mut self) -> Result<String, PatternError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        while bytes.get(end).is_some_and(|byte| *byte != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        if end >= bytes.len() {
            self.at = bytes.len();
            return Err(self.wrong("Unexpected end-of-input in a string"));
        }
        self.at = end + 1;
        let string = serde_json::from_str(&self.text[start..=end]);
        string.map_err(|_| self.wrong("A string is not valid"))
    }
}
