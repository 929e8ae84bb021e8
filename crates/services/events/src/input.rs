//! What a target gets of an event, pure: all of it, a part ([`Path`]), a constant, or a template
//! with parts put in (EventBridge user guide, "Input transformation"; forms as recorded).

mod path;
mod template;
#[cfg(test)]
mod tests;

pub use path::{Path, PathError};
pub use template::{Template, TemplateError};

use serde_json::Value;

use crate::model::Event;

/// What stands in a template besides an event's own parts.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The ARN of the rule that matched.
    pub rule_arn: &'a str,
    /// Its name.
    pub rule_name: &'a str,
    /// When the event came in, as in `2026-01-02T03:04:05Z`.
    pub ingestion_time: &'a str,
}

/// What a target wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The event.
    Event,
    /// The same always.
    Constant(String),
    /// A part of it, as JSON.
    Part(Path),
    /// A template.
    Template(Template),
}

impl Input {
    /// The text that the target gets.
    pub fn of(&self, event: &Event, value: &Value, around: &Surroundings<'_>) -> String {
        match self {
            Self::Event => event.text(),
            Self::Constant(text) => text.clone(),
            Self::Part(path) => path.find(value).map_or_else(String::new, Value::to_string),
            Self::Template(template) => template.fill(event, value, around),
        }
    }
}
