//! Values as Smithy's RPC v2 CBOR.

use bytes::Bytes;
use terms::Timestamp;

use super::cbor::{write_float, write_head, write_text};
use crate::ServiceError;
use crate::schema::{Member, Schema};
use crate::value::Writer;

/// Begins a map whose length is told by its end.
const BEGIN_MAP: u8 = 0xbf;
/// Ends it.
const BREAK: u8 = 0xff;

/// Writes values as CBOR. Structures are maps without a length, for absent members are left out.
#[derive(Debug, Default)]
pub struct CborWriter {
    out: Vec<u8>,
}

impl CborWriter {
    /// A writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity) }
    }

    /// What was written.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }
}

impl Writer for CborWriter {
    fn boolean(&mut self, value: bool) {
        self.out.push(if value { 0xf5 } else { 0xf4 });
    }
    fn integer(&mut self, value: i64, _: &'static Schema) {
        match u64::try_from(value) {
            Ok(value) => write_head(&mut self.out, 0, value),
            Err(_) => write_head(&mut self.out, 1, (-1 - value).unsigned_abs()),
        }
    }
    fn double(&mut self, value: f64, _: &'static Schema) {
        write_float(&mut self.out, value);
    }
    fn string(&mut self, value: &str, _: &'static Schema) {
        write_text(&mut self.out, value);
    }
    fn blob(&mut self, value: &[u8], _: &'static Schema) {
        write_head(&mut self.out, 2, value.len() as u64);
        self.out.extend_from_slice(value);
    }
    /// Tag 1 and seconds since the epoch; typed clients take nothing else.
    fn timestamp(&mut self, value: Timestamp, _: &'static Schema) {
        write_head(&mut self.out, 6, 1);
        write_float(&mut self.out, value.seconds_f64());
    }
    fn begin_structure(&mut self, _: &'static Schema) {
        self.out.push(BEGIN_MAP);
    }
    fn member(&mut self, _: usize, member: &'static Member) {
        write_text(&mut self.out, member.name);
    }
    fn end_structure(&mut self) {
        self.out.push(BREAK);
    }
    fn begin_list(&mut self, _: &'static Schema, length: usize) {
        write_head(&mut self.out, 4, length as u64);
    }
    fn item(&mut self) {}
    fn end_list(&mut self) {}
    fn begin_map(&mut self, _: &'static Schema, length: usize) {
        write_head(&mut self.out, 5, length as u64);
    }
    fn key(&mut self, key: &str) {
        write_text(&mut self.out, key);
    }
    fn end_map(&mut self) {}
    fn document(&mut self, value: &serde_json::Value) {
        write_document(&mut self.out, value);
    }
}

fn write_document(out: &mut Vec<u8>, value: &serde_json::Value) {
    use serde_json::Value as Json;
    match value {
        Json::Null => out.push(0xf6),
        Json::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => write_head(out, 0, value),
            (None, Some(value)) => write_head(out, 1, (-1 - value).unsigned_abs()),
            (None, None) => write_float(out, number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => write_text(out, text),
        Json::Array(items) => {
            write_head(out, 4, items.len() as u64);
            items.iter().for_each(|item| write_document(out, item));
        }
        Json::Object(entries) => {
            write_head(out, 5, entries.len() as u64);
            for (key, value) in entries {
                write_text(out, key);
                write_document(out, value);
            }
        }
    }
}

/// The CBOR form of an error: `__type` and `message`.
pub(super) fn error(error: &ServiceError) -> Bytes {
    let mut out = Vec::with_capacity(64 + error.message.len());
    write_head(&mut out, 5, 2);
    write_text(&mut out, "__type");
    write_text(&mut out, &error.code);
    write_text(&mut out, "message");
    write_text(&mut out, &error.message);
    Bytes::from(out)
}
