//! The constraints of a model, and where in a value they are broken.

use std::fmt::Write;

use crate::schema::{Kind, Schema};

/// At most this many violations are remembered of one request; AWS lists them all in one text.
const MAX_VIOLATIONS: usize = 10;
/// Longer values are cut in error texts, in characters.
const MAX_ECHO_CHARS: usize = 256;

/// One step of a path into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of a structure.
    Member(&'static str),
    /// An item of a list, counted from one.
    Item(usize),
    /// An entry of a map.
    Key(String),
}

/// A constraint of the model that a value breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, as AWS writes it: `containerDefinitions.1.member.name`.
    pub path: String,
    /// What was there, as AWS writes it: `null` or `'text'`.
    pub value: String,
    /// What must hold, as AWS writes it: `Member must not be null`.
    pub constraint: String,
}

impl Violation {
    /// Whether a required member is missing.
    pub fn is_missing(&self) -> bool {
        self.value == "null"
    }
}

/// The text that AWS gives for violations: `1 validation error detected: Value null at 'tasks'
/// failed to satisfy constraint: Member must not be null` (Coral's form, seen on many services).
pub fn describe(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "error" } else { "errors" };
    let mut text = format!("{} validation {plural} detected: ", violations.len());
    for (index, violation) in violations.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        let Violation { path, value, constraint } = violation;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{separator}Value {value} at '{path}' failed to satisfy constraint: {constraint}"
        );
    }
    text
}

/// Which members of a structure were seen. Structures have at most 256 members.
#[derive(Debug, Default, Clone, Copy)]
pub struct Presence([u64; 4]);

impl Presence {
    /// Remembers the member at `index`.
    pub fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    /// Whether the member at `index` was seen.
    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }
}

/// Follows the walk through a value and collects the constraints that it breaks.
#[derive(Debug, Default)]
pub struct Check {
    path: Vec<Step>,
    violations: Vec<Violation>,
    broken: bool,
    lenient: bool,
}

impl Check {
    /// A check that collects violations: requests to us, responses of ours.
    pub fn strict() -> Self {
        Self::default()
    }

    /// A check that lets everything pass: responses of a server that may be newer than we are.
    pub fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// The walk goes one step down.
    pub fn enter(&mut self, step: Step) {
        self.path.push(step);
    }

    /// The walk goes one step up again; gives the step that it leaves.
    pub fn leave(&mut self) -> Step {
        self.path.pop().unwrap_or(Step::Item(0))
    }

    /// Where the walk stands, as AWS writes it; empty at the top.
    pub fn path(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            let dot = if text.is_empty() { "" } else { "." };
            let _ = match step {
                Step::Member(name) => {
                    // Small, whatever the model says (recorded of IAM, Systems Manager, EventBridge).
                    let (first, rest) = name.split_at_checked(1).unwrap_or((name, ""));
                    write!(text, "{dot}{}{rest}", first.to_ascii_lowercase())
                }
                Step::Item(number) => write!(text, "{dot}{number}.member"),
                Step::Key(key) => write!(text, "{dot}{key}.member"),
            };
        }
        text
    }

    /// What was collected.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What was collected, taken out.
    pub fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// The value at hand was there but broke a constraint so that it could not be kept.
    pub fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Whether the value at hand was marked as broken; forgets it.
    pub fn take_broken(&mut self) -> bool {
        std::mem::take(&mut self.broken)
    }

    /// The value at hand must not be null.
    pub fn absent(&mut self) {
        self.report(None, "Member must not be null".to_owned());
    }

    /// Checks a text's enumeration, length and pattern.
    pub fn string(&mut self, text: &str, schema: &'static Schema) {
        if let Kind::Enum(values) = &schema.kind
            && !values.contains(&text)
        {
            let values = values.join(", ");
            let constraint = format!("Member must satisfy enum value set: [{values}]");
            self.report(Some((text, schema)), constraint);
        }
        if schema.length.is_some() {
            self.bounds(text.chars().count(), Some(text), schema);
        }
        if let Some(pattern) = &schema.pattern
            && !self.lenient
            && !pattern.matches(text)
        {
            let constraint =
                format!("Member must satisfy regular expression pattern: {}", pattern.source());
            self.report(Some((text, schema)), constraint);
        }
    }

    /// Checks the key of the map entry that the walk stands in.
    pub fn map_key(&mut self, schema: &'static Schema) {
        if let Some(Step::Key(key)) = self.path.last() {
            let key = key.clone();
            self.string(&key, schema);
        }
    }

    /// Checks the number of a list's items, a map's entries or a blob's bytes.
    pub fn length(&mut self, length: usize, schema: &'static Schema) {
        self.bounds(length, None, schema);
    }

    fn bounds(&mut self, length: usize, text: Option<&str>, schema: &'static Schema) {
        let Some(bounds) = schema.length else { return };
        let length = length as u64;
        let echo = text.map(|text| (text, schema)).or(Some(("[...]", schema)));
        if let Some(min) = bounds.min.filter(|&min| length < min) {
            let constraint = format!("Member must have length greater than or equal to {min}");
            self.report(echo, constraint);
        }
        if let Some(max) = bounds.max.filter(|&max| length > max) {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.report(echo, constraint);
        }
    }

    /// Checks a number's range.
    pub fn number(&mut self, number: f64, schema: &'static Schema) {
        let Some(range) = schema.range else { return };
        let text = number.to_string();
        if let Some(min) = range.min.filter(|&min| number < min) {
            let constraint = format!("Member must have value greater than or equal to {min}");
            self.report(Some((&text, schema)), constraint);
        }
        if let Some(max) = range.max.filter(|&max| number > max) {
            let constraint = format!("Member must have value less than or equal to {max}");
            self.report(Some((&text, schema)), constraint);
        }
    }

    /// Checks that a structure's required members were there.
    pub fn structure(&mut self, schema: &'static Schema, present: &Presence) {
        if self.lenient {
            return;
        }
        for (index, member) in schema.members().iter().enumerate() {
            if member.required && !present.contains(index) {
                self.enter(Step::Member(member.name));
                self.absent();
                self.leave();
            }
        }
    }

    fn report(&mut self, value: Option<(&str, &'static Schema)>, constraint: String) {
        if self.lenient || self.violations.len() >= MAX_VIOLATIONS {
            return;
        }
        let value = match value {
            None => "null".to_owned(),
            Some((_, schema)) if schema.sensitive => "'***'".to_owned(),
            Some((text, _)) => format!("'{}'", echo(text)),
        };
        self.violations.push(Violation { path: self.path(), value, constraint });
    }
}

/// The text, or its beginning if it is long.
fn echo(text: &str) -> String {
    match text.char_indices().nth(MAX_ECHO_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
