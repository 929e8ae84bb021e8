//! Values as AWS JSON, straight into one buffer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::io::Write;
use terms::Timestamp;

use crate::ServiceError;
use crate::schema::{Kind, Member, Schema, TimestampFormat};
use crate::value::Writer;

/// Writes values as JSON. Commas follow from the last byte written, so no stack is kept.
#[derive(Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    timestamp_format: Option<TimestampFormat>,
    /// For timestamps whose member and shape demand nothing.
    usual_format: Option<TimestampFormat>,
}

impl JsonWriter {
    /// A writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// The same writer with timestamps in ISO 8601, as events have them, instead of seconds.
    #[must_use]
    pub fn with_times_in_words(self) -> Self {
        Self { usual_format: Some(TimestampFormat::Iso8601), ..self }
    }

    /// What was written.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }

    fn separate(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[' | b':') | None) {
            self.out.push(b',');
        }
    }

    fn name(&mut self, name: &str) {
        self.separate();
        write_string(&mut self.out, name);
        self.out.push(b':');
    }

    fn digits(&mut self, value: i64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

impl Writer for JsonWriter {
    fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }
    fn integer(&mut self, value: i64, _: &'static Schema) {
        self.digits(value);
    }
    fn double(&mut self, value: f64, _: &'static Schema) {
        if value.is_finite() {
            // Writing to a vector cannot fail. Display never uses an exponent, which some SDKs
            // refuse.
            let _ = write!(self.out, "{value}");
        } else {
            let name = if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            write_string(&mut self.out, name);
        }
    }
    fn string(&mut self, value: &str, _: &'static Schema) {
        write_string(&mut self.out, value);
    }
    fn blob(&mut self, value: &[u8], _: &'static Schema) {
        write_string(&mut self.out, &STANDARD.encode(value));
    }

    /// Plain decimals: exponents are JSON, but the JavaScript SDK has refused them.
    fn timestamp(&mut self, value: Timestamp, schema: &'static Schema) {
        let shape_format = match schema.kind {
            Kind::Timestamp(format) => format,
            _ => None,
        };
        match self.timestamp_format.or(shape_format).or(self.usual_format) {
            None | Some(TimestampFormat::UnixTimestamp) => {
                let millis = value.millis();
                if millis < 0 {
                    self.out.push(b'-');
                }
                let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
                self.out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
                if rest != 0 {
                    let _ = write!(self.out, ".{rest:03}");
                    while self.out.last() == Some(&b'0') {
                        self.out.pop();
                    }
                }
            }
            Some(TimestampFormat::Iso8601) => {
                let _ = write!(self.out, "\"{value}\"");
            }
            Some(TimestampFormat::Rfc822) => {
                write_string(&mut self.out, &super::time::rfc822(value));
            }
        }
    }

    fn begin_structure(&mut self, _: &'static Schema) {
        self.out.push(b'{');
    }
    fn member(&mut self, _: usize, member: &'static Member) {
        self.timestamp_format = member.timestamp_format;
        self.name(member.wire());
    }
    fn end_structure(&mut self) {
        self.out.push(b'}');
    }
    fn begin_list(&mut self, _: &'static Schema, _: usize) {
        self.out.push(b'[');
    }
    fn item(&mut self) {
        self.separate();
    }
    fn end_list(&mut self) {
        self.out.push(b']');
    }
    fn begin_map(&mut self, _: &'static Schema, _: usize) {
        self.out.push(b'{');
    }
    fn key(&mut self, key: &str) {
        self.name(key);
    }
    fn end_map(&mut self) {
        self.out.push(b'}');
    }
    fn document(&mut self, value: &serde_json::Value) {
        let _ = write!(self.out, "{value}");
    }
}

/// `text` as a JSON string. Runs without special bytes are copied at once.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// The JSON form of an error: `__type`, `message` and the error's further members.
pub(super) fn error(error: &ServiceError) -> Bytes {
    let mut writer = JsonWriter::with_capacity(128 + error.message.len());
    writer.out.push(b'{');
    writer.name("__type");
    write_string(&mut writer.out, &error.code);
    writer.name("message");
    write_string(&mut writer.out, &error.message);
    for (name, value) in &error.fields {
        writer.name(name);
        let _ = write!(writer.out, "{value}");
    }
    writer.out.push(b'}');
    writer.finish()
}
