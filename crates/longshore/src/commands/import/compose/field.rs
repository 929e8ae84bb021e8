//! A value of a Compose file with its place, so that what is wrong can be named.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Error, Result, anyhow};

use super::interpolate::interpolate;
use super::yaml::{Kind, Node};
use crate::commands::import::notes::Notes;
use crate::commands::import::units;

/// What fields are read with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Variables by name.
    pub variables: &'a BTreeMap<String, String>,
    /// Where notes go.
    pub notes: &'a Notes,
}

/// One value, and where it stands. Variables are put in when a text is read.
#[derive(Clone)]
pub struct Field<'a> {
    pub path: String,
    pub node: Rc<Node>,
    pub context: Context<'a>,
}

impl<'a> Field<'a> {
    /// An error about this field.
    pub fn wrong(&self, what: impl std::fmt::Display) -> Error {
        let place = if self.path.is_empty() { "the file" } else { &self.path };
        anyhow!("{place} (line {}): {what}", self.node.line)
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let found = match &self.node.kind {
            Kind::Null => "nothing".into(),
            Kind::Text(text) => format!("'{text}'"),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
        };
        self.wrong(format!("expected {wanted}, found {found}"))
    }

    /// Makes a note about this field.
    pub fn note(&self, what: impl Into<String>) {
        self.context.notes.add(self.path.clone(), what);
    }

    fn below(&self, step: &str, node: &Rc<Node>) -> Self {
        let path = match (self.path.as_str(), step.starts_with('[')) {
            ("", _) => step.to_owned(),
            (path, true) => format!("{path}{step}"),
            (path, false) => format!("{path}.{step}"),
        };
        Self { path, node: Rc::clone(node), context: self.context }
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.node.kind, Kind::Null)
    }

    /// Whether it is a mapping.
    pub fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::List(_))
    }

    /// The entries of a mapping; none of nothing.
    pub fn entries(&self) -> Result<Vec<(String, Self)>> {
        match &self.node.kind {
            Kind::Null => Ok(Vec::new()),
            Kind::Map(entries) => {
                let entry = |(key, node): &(String, Rc<Node>)| (key.clone(), self.below(key, node));
                Ok(entries.iter().map(entry).collect())
            }
            Kind::Text(_) | Kind::List(_) => Err(self.unexpected("a mapping")),
        }
    }

    /// The items of a list; none of nothing.
    pub fn items(&self) -> Result<Vec<Self>> {
        match &self.node.kind {
            Kind::Null => Ok(Vec::new()),
            Kind::List(items) => {
                let item = |(index, node)| self.below(&format!("[{index}]"), node);
                Ok(items.iter().enumerate().map(item).collect())
            }
            Kind::Text(_) | Kind::Map(_) => Err(self.unexpected("a list")),
        }
    }

    /// The value of a key of a mapping, unless it is nothing.
    pub fn get(&self, key: &str) -> Option<Self> {
        let node = self.node.get(key)?;
        Some(self.below(key, node)).filter(|field| !field.is_null())
    }

    /// A text, with variables put in.
    pub fn text(&self) -> Result<String> {
        let Kind::Text(text) = &self.node.kind else { return Err(self.unexpected("a text")) };
        let lookup = |name: &str| self.context.variables.get(name).cloned();
        let mut missing = |name: &str| {
            self.note(format!("the variable {name} is not set; an empty text took its place"));
        };
        interpolate(text, &lookup, &mut missing).map_err(|what| self.wrong(what))
    }

    /// A text read by `read`, which knows what is a `wanted`.
    pub fn parse<T>(&self, wanted: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text = self.text()?;
        read(&text).ok_or_else(|| self.wrong(format!("expected {wanted}, found '{text}'")))
    }

    /// `true` or `false`, or what YAML once took for them.
    pub fn flag(&self) -> Result<bool> {
        self.parse("true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some(true),
            "false" | "no" | "off" | "n" => Some(false),
            _ => None,
        })
    }

    /// A whole number.
    pub fn whole(&self) -> Result<i32> {
        self.parse("a whole number", |text| text.trim().parse().ok())
    }

    /// A number.
    pub fn number(&self) -> Result<f64> {
        let read = |text: &str| text.trim().parse().ok().filter(|n: &f64| n.is_finite());
        self.parse("a number", read)
    }

    /// A size as in `512m`, in MiB, rounded up.
    pub fn mib(&self) -> Result<i32> {
        self.parse("a size as in 512m", |text| units::bytes(text).map(units::mib))
    }

    /// A duration as in `1m30s`, in seconds.
    pub fn seconds(&self) -> Result<f64> {
        self.parse("a duration as in 1m30s", units::seconds)
    }

    /// One text or a list of them.
    pub fn texts(&self) -> Result<Vec<String>> {
        match &self.node.kind {
            Kind::Text(_) => Ok(vec![self.text()?]),
            _ => self.items()?.iter().map(Self::text).collect(),
        }
    }

    /// A command: a list, or one text that is taken apart as a shell would.
    pub fn command(&self) -> Result<Vec<String>> {
        match &self.node.kind {
            Kind::Text(_) => self.parse("a command whose quotes are closed", units::words),
            _ => self.texts(),
        }
    }

    /// A mapping, or a list of `name=value`; a name without a value has none.
    pub fn pairs(&self) -> Result<Vec<(String, Option<String>)>> {
        if self.is_list() {
            let pair = |item: Self| {
                let text = item.text()?;
                Ok(match text.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (text, None),
                })
            };
            return self.items()?.into_iter().map(pair).collect();
        }
        let pair = |(name, field): (String, Self)| {
            Ok((name, if field.is_null() { None } else { Some(field.text()?) }))
        };
        self.entries()?.into_iter().map(pair).collect()
    }

    /// The same as [`Field::pairs`] with empty values for none.
    pub fn labels(&self) -> Result<BTreeMap<String, String>> {
        let pairs = self.pairs()?.into_iter();
        Ok(pairs.map(|(name, value)| (name, value.unwrap_or_default())).collect())
    }
}
