//! The language of event patterns, whole and pure (EventBridge user guide, "Event patterns";
//! behaviour as of `aws/event-ruler`, which EventBridge runs).
//!
//! A pattern follows the event's nesting; its leaves are arrays of which one element must match.
//! [`Pattern::parse`] takes a text apart or says what is wrong in EventBridge's words;
//! [`Pattern::matches`] asks a flattened event.

mod compile;
mod event;
mod json;
mod matcher;
mod number;
mod operators;
#[cfg(test)]
mod tests;

pub use event::Fields;

use matcher::Matcher;

/// Most alternatives that the `$or`s of a pattern may multiply to.
pub const ALTERNATIVES_MAX: usize = 1_000;
/// Most combinations of array elements that are looked at for one alternative. More would take
/// arrays of objects within arrays of objects, all asked for at once.
const STEPS_MAX: usize = 100_000;

/// A text that is no event pattern, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Event pattern is not valid. Reason: {reason}{}", place(.source_text, *.column))]
pub struct PatternError {
    /// What is wrong.
    pub reason: String,
    /// The pattern, where the place in it is known.
    source_text: Option<String>,
    column: usize,
}

/// Where, as the JSON reader that EventBridge runs on tells it.
fn place(source: &Option<String>, column: usize) -> String {
    let Some(source) = source else { return String::new() };
    let (mut line, mut in_line) = (1, 0);
    for (index, c) in source.char_indices() {
        if index + 1 >= column {
            break;
        }
        in_line += 1;
        if c == '\n' {
            (line, in_line) = (line + 1, 0);
        }
    }
    let column = if line == 1 { column } else { in_line + 1 };
    format!("\n at [Source: (String){source:?}; line: {line}, column: {column}]")
}

/// A pattern, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// One of these must hold.
    alternatives: Vec<Vec<Leaf>>,
}

/// A path whose values must match one of these.
#[derive(Clone, Debug, PartialEq)]
struct Leaf {
    /// Keys joined by dots.
    path: String,
    matchers: Vec<Matcher>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as EventBridge words it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let tree = json::parse(text)?;
        let alternatives = compile::compile(&tree, text)?;
        Ok(Self { alternatives })
    }

    /// Whether the event matches.
    pub fn matches(&self, event: &Fields) -> bool {
        self.alternatives.iter().any(|leaves| {
            let mut steps = 0;
            fits(leaves, event, &mut Vec::new(), &mut steps)
        })
    }

    /// The texts that the field at `path` must be, if the pattern names them and nothing else:
    /// lets a rule be passed over without looking at a whole event.
    pub fn literals(&self, path: &str) -> Option<Vec<&str>> {
        let mut found = Vec::new();
        for leaves in &self.alternatives {
            let leaf = leaves.iter().find(|leaf| leaf.path == path)?;
            for matcher in &leaf.matchers {
                found.push(matcher.literal()?);
            }
        }
        Some(found)
    }
}

/// Whether all leaves can be met at once, two that go through one array in the same element.
fn fits(leaves: &[Leaf], event: &Fields, chosen: &mut Vec<(u32, u32)>, steps: &mut usize) -> bool {
    let Some((leaf, rest)) = leaves.split_first() else { return true };
    if leaf.matchers.iter().any(Matcher::wants_absence) && !event.has(&leaf.path) {
        return fits(rest, event, chosen, steps);
    }
    for field in event.at(&leaf.path) {
        *steps += 1;
        if *steps > STEPS_MAX {
            return false;
        }
        let is_consistent = field.elements.iter().all(|(array, element)| {
            chosen.iter().all(|(other, taken)| other != array || taken == element)
        });
        if !is_consistent || !leaf.matchers.iter().any(|matcher| matcher.matches(&field.value)) {
            continue;
        }
        let before = chosen.len();
        chosen.extend_from_slice(&field.elements);
        if fits(rest, event, chosen, steps) {
            return true;
        }
        chosen.truncate(before);
    }
    false
}
