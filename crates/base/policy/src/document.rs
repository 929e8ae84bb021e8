//! What is done to documents as texts: their size, and the principals that they name.

use crate::json::{self, Node, Value};
use crate::statement::find;

/// A principal as a document names it under `AWS`, and the bytes of the text that it takes, quotes
/// included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub text: String,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Named {
    /// All that a document names, in order; nothing if it is not JSON.
    pub fn in_text(text: &str) -> Vec<Self> {
        let Ok(root) = json::parse(text) else { return Vec::new() };
        let statements = root.entries().and_then(|entries| find(entries, "Statement"));
        let mut names = Vec::new();
        for statement in statements.map(|entry| entry.node.items()).unwrap_or_default() {
            let entries = statement.entries().unwrap_or_default();
            for element in ["Principal", "NotPrincipal"] {
                let kinds = find(entries, element).and_then(|entry| entry.node.entries());
                let aws = kinds.and_then(|kinds| find(kinds, "AWS"));
                names
                    .extend(aws.into_iter().flat_map(|entry| entry.node.items()).filter_map(named));
            }
        }
        names.sort_by_key(|name| name.start);
        names
    }

    /// The document with other names: `rename` gives the new one, or none to keep the old.
    pub fn rename(text: &str, mut rename: impl FnMut(&str) -> Option<String>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for name in Self::in_text(text) {
            let Some(new) = rename(&name.text) else { continue };
            out.push_str(&text[at..name.start]);
            // ARNs and ids have no character that JSON would escape.
            out.push_str(&format!("\"{}\"", new.replace(['"', '\\'], "")));
            at = name.end;
        }
        out.push_str(&text[at..]);
        out
    }
}

fn named(node: &Node) -> Option<Named> {
    match &node.value {
        Value::Text(text) => Some(Named { text: text.clone(), start: node.start, end: node.end }),
        _ => None,
    }
}

/// A document's size as IAM's quotas count it: characters, without white space.
pub fn size_of(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}
