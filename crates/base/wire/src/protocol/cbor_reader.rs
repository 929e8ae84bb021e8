//! Values from Smithy's RPC v2 CBOR (specification "Smithy RPC v2 CBOR protocol").

use terms::Timestamp;

use super::cbor::{self, Item};
use crate::check::Check;
use crate::schema::{Kind, Member, Schema};
use crate::value::{Malformed, OnEntry, OnItem, OnMember, Read, Reader};

/// Reads values from a CBOR document. Missing and null members are alike.
#[derive(Debug)]
pub struct CborReader<'a> {
    here: Option<Item>,
    check: &'a mut Check,
}

impl<'a> CborReader<'a> {
    /// Walks the one value of a document with `read`.
    pub fn read_document(
        body: &[u8],
        check: &'a mut Check,
        read: &mut dyn FnMut(&mut dyn Reader) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let here = Some(cbor::read(body)?);
        read(&mut CborReader { here, check })
    }

    fn take(&mut self) -> Option<Item> {
        self.here.take().filter(|item| *item != Item::Null)
    }

    fn wrong(&self, found: &Item, wanted: &str) -> Malformed {
        let token = match found {
            Item::Integer(_) | Item::Float(_) => "NUMBER_VALUE",
            Item::Boolean(true) => "TRUE_VALUE",
            Item::Boolean(false) => "FALSE_VALUE",
            Item::Text(_) => "STRING_VALUE",
            Item::Bytes(_) => "BLOB_VALUE",
            Item::List(_) => "LIST_VALUE",
            Item::Map(_) => "MAP_VALUE",
            Item::Tagged(..) => "TAGGED_VALUE",
            Item::Null => "NULL_VALUE",
        };
        let path = self.check.path();
        Malformed { message: format!("{token} cannot be converted to {wanted} (member '{path}')") }
    }
}

fn number(item: &Item) -> Option<f64> {
    match item {
        Item::Integer(value) => Some(*value as f64),
        Item::Float(value) => Some(*value),
        _ => None,
    }
}

impl Reader for CborReader<'_> {
    fn check(&mut self) -> &mut Check {
        self.check
    }

    fn boolean(&mut self) -> Read<bool> {
        match self.take() {
            None => Ok(None),
            Some(Item::Boolean(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(&other, "Boolean")),
        }
    }

    fn integer(&mut self, min: i64, max: i64, name: &'static str) -> Read<i64> {
        let Some(item) = self.take() else { return Ok(None) };
        let value = match &item {
            Item::Integer(value) => i64::try_from(*value).ok(),
            Item::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
            _ => None,
        };
        match value.filter(|value| (min..=max).contains(value)) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(&item, name)),
        }
    }

    fn double(&mut self) -> Read<f64> {
        let Some(item) = self.take() else { return Ok(None) };
        number(&item).map(Some).ok_or_else(|| self.wrong(&item, "Double"))
    }

    fn string(&mut self) -> Read<String> {
        match self.take() {
            None => Ok(None),
            Some(Item::Text(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(&other, "String")),
        }
    }

    fn blob(&mut self) -> Read<Vec<u8>> {
        match self.take() {
            None => Ok(None),
            Some(Item::Bytes(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(&other, "Blob")),
        }
    }

    /// Tag 1 with seconds since the epoch; without the tag too.
    fn timestamp(&mut self, _: &'static Schema) -> Read<Timestamp> {
        let Some(item) = self.take() else { return Ok(None) };
        let seconds = match &item {
            Item::Tagged(1, inner) => number(inner),
            other => number(other),
        };
        let seconds = seconds.ok_or_else(|| self.wrong(&item, "Timestamp"))?;
        Ok(Some(Timestamp::from_seconds_f64(seconds)))
    }

    fn structure(
        &mut self,
        schema: &'static Schema,
        each: OnMember<'_>,
    ) -> Result<bool, Malformed> {
        let entries = match self.take() {
            None => return Ok(false),
            Some(Item::Map(entries)) => entries,
            Some(other) => return Err(self.wrong(&other, "structure")),
        };
        for (name, item) in entries {
            let index = schema.members().iter().position(|member| member.name == name);
            if let Some(index) = index {
                self.here = Some(item);
                each(self, index)?;
            }
        }
        Ok(true)
    }

    fn list(&mut self, _: &'static Member, each: OnItem<'_>) -> Result<bool, Malformed> {
        let items = match self.take() {
            None => return Ok(false),
            Some(Item::List(items)) => items,
            Some(other) => return Err(self.wrong(&other, "list")),
        };
        for item in items {
            self.here = Some(item);
            each(self)?;
        }
        Ok(true)
    }

    fn map(&mut self, schema: &'static Schema, each: OnEntry<'_>) -> Result<bool, Malformed> {
        debug_assert!(matches!(schema.kind, Kind::Map { .. }));
        let entries = match self.take() {
            None => return Ok(false),
            Some(Item::Map(entries)) => entries,
            Some(other) => return Err(self.wrong(&other, "map")),
        };
        for (key, item) in entries {
            self.here = Some(item);
            each(self, key)?;
        }
        Ok(true)
    }

    fn document(&mut self) -> Read<serde_json::Value> {
        let Some(item) = self.take() else { return Ok(None) };
        document(&item).map(Some).ok_or_else(|| self.wrong(&item, "Document"))
    }
}

/// Bytes and tags are in no document; nor are numbers that JSON has no form for.
fn document(item: &Item) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    Some(match item {
        Item::Null => Json::Null,
        Item::Boolean(value) => Json::Bool(*value),
        Item::Integer(value) => match i64::try_from(*value) {
            Ok(value) => Json::from(value),
            Err(_) => Json::from(u64::try_from(*value).ok()?),
        },
        Item::Float(value) => Json::Number(serde_json::Number::from_f64(*value)?),
        Item::Text(text) => Json::String(text.clone()),
        Item::List(items) => Json::Array(items.iter().map(document).collect::<Option<_>>()?),
        Item::Map(entries) => {
            let entry = |(key, value): &(String, Item)| Some((key.clone(), document(value)?));
            Json::Object(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        Item::Bytes(_) | Item::Tagged(..) => return None,
    })
}
