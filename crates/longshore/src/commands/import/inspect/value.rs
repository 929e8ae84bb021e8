//! A JSON value with its place, so that what is wrong can be named.

use std::collections::BTreeMap;

use anyhow::{Error, Result, anyhow};
use serde_json::Value as Json;

use crate::commands::import::draft::Place;
use crate::commands::import::notes::Notes;

static NULL: Json = Json::Null;

/// A value, and where it stands. What is not there is null.
pub struct At<'a> {
    pub json: &'a Json,
    path: String,
    notes: &'a Notes,
}

impl<'a> At<'a> {
    pub fn new(json: &'a Json, path: impl Into<String>, notes: &'a Notes) -> Self {
        Self { json, path: path.into(), notes }
    }

    /// A member.
    pub fn get(&self, name: &str) -> Self {
        let json = self.json.get(name).unwrap_or(&NULL);
        Self::new(json, format!("{}.{name}", self.path), self.notes)
    }

    /// An error about this value.
    pub fn wrong(&self, wanted: &str) -> Error {
        let found = match self.json {
            Json::Null => "nothing".to_owned(),
            Json::Array(_) => "a list".to_owned(),
            Json::Object(_) => "an object".to_owned(),
            other => other.to_string(),
        };
        anyhow!("{}: expected {wanted}, found {found}", self.path)
    }

    /// Makes a note about this value.
    pub fn note(&self, what: impl Into<String>) {
        self.notes.add(self.path.clone(), what);
    }

    /// Where notes about this value go.
    pub fn place(&self) -> Place<'_> {
        Place { notes: self.notes, path: &self.path }
    }

    /// Whether there is something.
    pub fn is_there(&self) -> bool {
        !self.json.is_null()
    }

    /// Whether there is something else than Docker's many ways to say nothing.
    pub fn says_something(&self) -> bool {
        match self.json {
            Json::Null | Json::Bool(false) => false,
            Json::Bool(true) => true,
            Json::Number(number) => number.as_f64().is_some_and(|number| number > 0.0),
            Json::String(text) => !text.is_empty(),
            Json::Array(items) => !items.is_empty(),
            Json::Object(map) => !map.is_empty(),
        }
    }

    pub fn text(&self) -> Result<Option<String>> {
        match self.json {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text.clone())),
            _ => Err(self.wrong("a text")),
        }
    }

    /// A text, unless it is empty.
    pub fn filled(&self) -> Result<Option<String>> {
        Ok(self.text()?.filter(|text| !text.is_empty()))
    }

    pub fn number(&self) -> Result<Option<f64>> {
        match self.json {
            Json::Null => Ok(None),
            Json::Number(number) => Ok(number.as_f64()),
            _ => Err(self.wrong("a number")),
        }
    }

    pub fn flag(&self) -> Result<Option<bool>> {
        match self.json {
            Json::Null => Ok(None),
            Json::Bool(flag) => Ok(Some(*flag)),
            _ => Err(self.wrong("true or false")),
        }
    }

    pub fn items(&self) -> Result<Vec<Self>> {
        match self.json {
            Json::Null => Ok(Vec::new()),
            Json::Array(items) => {
                let item =
                    |(index, json)| Self::new(json, format!("{}[{index}]", self.path), self.notes);
                Ok(items.iter().enumerate().map(item).collect())
            }
            _ => Err(self.wrong("a list")),
        }
    }

    /// A list of texts; one text counts as a list of one.
    pub fn texts(&self) -> Result<Vec<String>> {
        if let Json::String(text) = self.json {
            return Ok(vec![text.clone()]);
        }
        let text = |item: Self| item.text()?.ok_or_else(|| item.wrong("a text"));
        self.items()?.into_iter().map(text).collect()
    }

    pub fn entries(&self) -> Result<Vec<(String, Self)>> {
        match self.json {
            Json::Null => Ok(Vec::new()),
            Json::Object(map) => {
                Ok(map.keys().map(|name| (name.clone(), self.get(name))).collect())
            }
            _ => Err(self.wrong("an object")),
        }
    }

    /// An object of texts.
    pub fn map(&self) -> Result<BTreeMap<String, String>> {
        let text = |(name, value): (String, Self)| Ok((name, value.text()?.unwrap_or_default()));
        self.entries()?.into_iter().map(text).collect()
    }
}
