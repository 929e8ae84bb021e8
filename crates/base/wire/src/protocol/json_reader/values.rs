//! What the generic walk asks of a JSON text: each kind of value, or the error that it is another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use terms::Timestamp;

use super::{JsonReader, Wanted};
use crate::check::Check;
use crate::protocol::time::{parse_iso8601, parse_rfc822};
use crate::schema::{Kind, Member, Schema};
use crate::value::{Malformed, OnEntry, OnItem, OnMember, Read, Reader};

/// The index of the member with this wire name. Clients mostly send members in the model's order,
/// so the search begins after the last one found.
fn find(members: &[Member], name: &str, last: &mut usize) -> Option<usize> {
    let (before, after) = members.split_at((*last).min(members.len()));
    let index = after
        .iter()
        .position(|member| member.wire() == name)
        .map(|index| index + before.len())
        .or_else(|| before.iter().position(|member| member.wire() == name))?;
    *last = index + 1;
    Some(index)
}

impl Reader for JsonReader<'_> {
    fn check(&mut self) -> &mut Check {
        self.check
    }

    fn boolean(&mut self) -> Read<bool> {
        if self.null()? {
            return Ok(None);
        }
        match self.peek() {
            Some(b't') => self.literal("true").map(|()| Some(true)),
            Some(b'f') => self.literal("false").map(|()| Some(false)),
            _ => Err(self.mismatch(Wanted::Scalar("Boolean"))),
        }
    }

    fn integer(&mut self, min: i64, max: i64, name: &'static str) -> Read<i64> {
        if self.null()? {
            return Ok(None);
        }
        let start = self.at;
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.mismatch(Wanted::Scalar(name)));
        }
        let text = self.number()?;
        let value = text.parse::<i64>().ok().or_else(|| whole(text));
        match value.filter(|value| (min..=max).contains(value)) {
            Some(value) => Ok(Some(value)),
            None => {
                self.at = start;
                Err(self.mismatch(Wanted::Scalar(name)))
            }
        }
    }

    fn double(&mut self) -> Read<f64> {
        if self.null()? {
            return Ok(None);
        }
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => Ok(self.number()?.parse().ok()),
            Some(b'"') => {
                let start = self.at;
                let value = match &*self.text()? {
                    "NaN" => Some(f64::NAN),
                    "Infinity" => Some(f64::INFINITY),
                    "-Infinity" => Some(f64::NEG_INFINITY),
                    _ => None,
                };
                if value.is_none() {
                    self.at = start;
                    return Err(self.mismatch(Wanted::Scalar("Double")));
                }
                Ok(value)
            }
            _ => Err(self.mismatch(Wanted::Scalar("Double"))),
        }
    }

    fn string(&mut self) -> Read<String> {
        match self.peek() {
            Some(b'"') => self.text().map(|text| Some(text.into_owned())),
            Some(b'n') => self.literal("null").map(|()| None),
            _ => Err(self.mismatch(Wanted::Scalar("String"))),
        }
    }

    fn blob(&mut self) -> Read<Vec<u8>> {
        if self.null()? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(self.mismatch(Wanted::Scalar("Blob")));
        }
        let text = self.text()?;
        let bytes = STANDARD.decode(text.as_bytes());
        bytes.map(Some).map_err(|_| Malformed {
            message: format!("STRING_VALUE is not valid base64{}", self.place()),
        })
    }

    /// Seconds since the epoch; texts in the other formats are understood too.
    fn timestamp(&mut self, _: &'static Schema) -> Read<Timestamp> {
        if self.null()? {
            return Ok(None);
        }
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {
                Ok(self.number()?.parse().ok().map(Timestamp::from_seconds_f64))
            }
            Some(b'"') => {
                let start = self.at;
                let text = self.text()?;
                let value = parse_iso8601(&text).or_else(|| parse_rfc822(&text));
                if value.is_none() {
                    self.at = start;
                    return Err(self.mismatch(Wanted::Scalar("Timestamp")));
                }
                Ok(value)
            }
            _ => Err(self.mismatch(Wanted::Scalar("Timestamp"))),
        }
    }

    fn structure(
        &mut self,
        schema: &'static Schema,
        each: OnMember<'_>,
    ) -> Result<bool, Malformed> {
        if self.null()? {
            return Ok(false);
        }
        if self.peek() != Some(b'{') {
            return Err(self.mismatch(Wanted::Structure));
        }
        let mut last = 0;
        self.entries(&mut |reader, name| match find(schema.members(), &name, &mut last) {
            Some(index) => each(reader, index),
            None => reader.skip(),
        })?;
        Ok(true)
    }

    fn list(&mut self, _: &'static Member, each: OnItem<'_>) -> Result<bool, Malformed> {
        if self.null()? {
            return Ok(false);
        }
        if self.peek() != Some(b'[') {
            return Err(self.mismatch(Wanted::List));
        }
        self.elements(&mut |reader| each(reader))?;
        Ok(true)
    }

    fn map(&mut self, schema: &'static Schema, each: OnEntry<'_>) -> Result<bool, Malformed> {
        debug_assert!(matches!(schema.kind, Kind::Map { .. }));
        if self.null()? {
            return Ok(false);
        }
        if self.peek() != Some(b'{') {
            return Err(self.mismatch(Wanted::Structure));
        }
        self.entries(&mut |reader, key| each(reader, key.into_owned()))?;
        Ok(true)
    }

    /// Walked as everything else is, so that it is as deep as it may be, and then read.
    fn document(&mut self) -> Read<serde_json::Value> {
        if self.null()? {
            return Ok(None);
        }
        self.peek();
        let start = self.at;
        self.skip()?;
        let text = &self.text[start..self.at];
        serde_json::from_str(text).map(Some).map_err(|_| self.invalid("a value"))
    }
}

/// The whole number that a text with a fraction or an exponent stands for, such as `1e3` or `2.0`.
fn whole(text: &str) -> Option<i64> {
    /// Up to here every whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value: f64 = text.parse().ok()?;
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}
