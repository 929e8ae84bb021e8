//! Templates: a text in which `<name>` stands for a part of the event.
//!
//! A bare `<name>` in a JSON template gives the part's JSON; within quotes its bare text. Nothing
//! is escaped (recorded).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Path, Surroundings};
use crate::model::Event;

/// Names that EventBridge gives itself.
const RESERVED: [&str; 5] = [
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event.ingestion-time",
    "aws.events.event",
    "aws.events.event.json",
];

/// A template that names what it has no path for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the template has the placeholder {placeholder}, which no path explains")]
pub struct TemplateError {
    /// As in `<name>`.
    pub placeholder: String,
}

/// A template, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    paths: BTreeMap<String, Path>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A name, and whether it stands within quotes.
    Slot {
        name: String,
        quoted: bool,
    },
}

impl Template {
    /// Reads a template whose names these paths explain.
    ///
    /// # Errors
    /// [`TemplateError`] with the first name that none explains.
    pub fn parse(text: &str, paths: BTreeMap<String, Path>) -> Result<Self, TemplateError> {
        let (mut parts, mut plain, mut quoted) = (Vec::new(), String::new(), false);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c == '<'
                && let Some(end) = rest.find('>')
                && is_name(&rest[1..end])
            {
                let name = rest[1..end].to_owned();
                if !paths.contains_key(&name) && !RESERVED.contains(&name.as_str()) {
                    return Err(TemplateError { placeholder: rest[..=end].to_owned() });
                }
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Slot { name, quoted });
                rest = &rest[end + 1..];
                continue;
            }
            let mut length = c.len_utf8();
            if c == '\\' {
                length += rest[length..].chars().next().map_or(0, char::len_utf8);
            } else if c == '"' {
                quoted = !quoted;
            }
            plain.push_str(&rest[..length]);
            rest = &rest[length..];
        }
        parts.push(Part::Text(plain));
        Ok(Self { parts, paths })
    }

    /// The text with the event's parts in it.
    pub fn fill(&self, event: &Event, value: &Value, around: &Surroundings<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Slot { name, quoted } => {
                    let found = self.value(name, event, value, around);
                    out.push_str(&match (found, quoted) {
                        (Some(found), true) => bare(&found),
                        (Some(found), false) => found.to_string(),
                        (None, true) => String::new(),
                        (None, false) => "\"\"".to_owned(),
                    });
                }
            }
        }
        out
    }

    fn value(
        &self,
        name: &str,
        event: &Event,
        value: &Value,
        around: &Surroundings<'_>,
    ) -> Option<Value> {
        match name {
            "aws.events.rule-arn" => Some(json!(around.rule_arn)),
            "aws.events.rule-name" => Some(json!(around.rule_name)),
            "aws.events.event.ingestion-time" => Some(json!(around.ingestion_time)),
            "aws.events.event" => Some(without_detail(value)),
            "aws.events.event.json" => serde_json::from_str(&event.text()).ok(),
            name => self.paths.get(name)?.find(value).cloned(),
        }
    }
}

/// Letters, digits, `-`, `_` and `.`: other texts between angle brackets are just texts.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A value within quotes: texts as they are, all else as JSON without its quotes.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string().replace('"', ""),
    }
}

/// The event without its detail; the type's key is `detailType` here (recorded).
fn without_detail(value: &Value) -> Value {
    let Value::Object(entries) = value else { return Value::Null };
    let kept = entries.iter().filter(|(key, _)| *key != "detail").map(|(key, value)| {
        let key = if key == "detail-type" { "detailType" } else { key };
        (key.to_owned(), value.clone())
    });
    Value::Object(kept.collect())
}
