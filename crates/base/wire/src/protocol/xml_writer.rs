//! Values as the XML of AWS Query's and EC2 Query's responses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use terms::Timestamp;

use super::time::{iso8601_seconds, rfc822};
use crate::schema::{Kind, Member, Schema, TimestampFormat};
use crate::value::Writer;

/// Writes values as XML elements.
#[derive(Debug, Default)]
pub struct XmlWriter {
    out: String,
    frames: Vec<Frame>,
    /// The member whose value comes next.
    member: Option<&'static Member>,
    /// Timestamps have thousandths, as EC2 writes them.
    has_millis: bool,
}

#[derive(Debug)]
struct Frame {
    /// The element around the structure, list or map; none if flattened or outermost.
    wrapper: Option<&'static str>,
    holds: Holds,
}

#[derive(Debug, Clone, Copy)]
enum Holds {
    /// Each member is an element of its own name.
    Members,
    /// Each item is an element of this name.
    Items(&'static str),
    /// Each entry is an element that holds a key and a value.
    Entries { entry: &'static str, key: &'static str, value: &'static str },
}

impl XmlWriter {
    /// A writer that goes on behind `out`.
    pub(super) fn behind(out: String) -> Self {
        Self { out, ..Self::default() }
    }

    /// As [`XmlWriter::behind`], in EC2's form.
    pub(super) fn ec2_behind(out: String) -> Self {
        Self { has_millis: true, ..Self::behind(out) }
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }

    fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// The element that the next value stands in; none for the outermost value.
    fn element(&self) -> Option<&'static str> {
        match self.frames.last()?.holds {
            Holds::Members => self.member.map(Member::wire),
            Holds::Items(name) => Some(name),
            Holds::Entries { value, .. } => Some(value),
        }
    }

    /// Whether the list or map that comes next has no element of its own.
    fn is_flattened(&self) -> bool {
        let in_structure = self.frames.last().is_some_and(|f| matches!(f.holds, Holds::Members));
        in_structure && self.member.is_some_and(|member| member.flattened)
    }

    fn begin(&mut self, wrapper: Option<&'static str>, holds: Holds) {
        if let Some(name) = wrapper {
            self.open(name);
        }
        self.frames.push(Frame { wrapper, holds });
    }

    fn end(&mut self) {
        if let Some(Frame { wrapper: Some(name), .. }) = self.frames.pop() {
            self.close(name);
        }
        self.end_entry();
    }

    /// A map's value is complete: so is its entry.
    fn end_entry(&mut self) {
        if let Some(Frame { holds: Holds::Entries { entry, .. }, .. }) = self.frames.last() {
            let entry = *entry;
            self.close(entry);
        }
    }

    fn text(&mut self, text: &str) {
        let element = self.element();
        if let Some(name) = element {
            self.open(name);
        }
        escape(&mut self.out, text);
        if let Some(name) = element {
            self.close(name);
        }
        self.end_entry();
    }
}

impl Writer for XmlWriter {
    fn boolean(&mut self, value: bool) {
        self.text(if value { "true" } else { "false" });
    }
    fn integer(&mut self, value: i64, _: &'static Schema) {
        self.text(itoa::Buffer::new().format(value));
    }
    fn double(&mut self, value: f64, _: &'static Schema) {
        self.text(&value.to_string());
    }
    fn string(&mut self, value: &str, _: &'static Schema) {
        self.text(value);
    }
    fn blob(&mut self, value: &[u8], _: &'static Schema) {
        self.text(&STANDARD.encode(value));
    }
    fn timestamp(&mut self, value: Timestamp, schema: &'static Schema) {
        let of_shape = match schema.kind {
            Kind::Timestamp(format) => format,
            _ => None,
        };
        let of_member = self.member.and_then(|member| member.timestamp_format);
        self.text(&match of_member.or(of_shape) {
            None | Some(TimestampFormat::Iso8601) if self.has_millis => value.to_string(),
            None | Some(TimestampFormat::Iso8601) => iso8601_seconds(value),
            Some(TimestampFormat::Rfc822) => rfc822(value),
            Some(TimestampFormat::UnixTimestamp) => value.seconds().to_string(),
        });
    }

    fn begin_structure(&mut self, _: &'static Schema) {
        let wrapper = self.element();
        self.begin(wrapper, Holds::Members);
    }
    fn member(&mut self, _: usize, member: &'static Member) {
        self.member = Some(member);
    }
    fn end_structure(&mut self) {
        self.end();
    }

    fn begin_list(&mut self, schema: &'static Schema, _: usize) {
        let name = self.element();
        let of_items = match &schema.kind {
            Kind::List(item) => item.wire_name,
            _ => None,
        };
        if self.is_flattened() {
            self.begin(None, Holds::Items(of_items.or(name).unwrap_or("member")));
        } else {
            self.begin(name, Holds::Items(of_items.unwrap_or("member")));
        }
    }
    fn item(&mut self) {}
    fn end_list(&mut self) {
        self.end();
    }

    fn begin_map(&mut self, schema: &'static Schema, _: usize) {
        let name = self.element();
        let (key, value) = match &schema.kind {
            Kind::Map { key, value } => (key.wire_name, value.wire_name),
            _ => (None, None),
        };
        let (key, value) = (key.unwrap_or("key"), value.unwrap_or("value"));
        if self.is_flattened() {
            self.begin(None, Holds::Entries { entry: name.unwrap_or("entry"), key, value });
        } else {
            self.begin(name, Holds::Entries { entry: "entry", key, value });
        }
    }
    fn key(&mut self, text: &str) {
        if let Some(Frame { holds: Holds::Entries { entry, key, .. }, .. }) = self.frames.last() {
            let (entry, key) = (*entry, *key);
            self.open(entry);
            self.open(key);
            escape(&mut self.out, text);
            self.close(key);
        }
    }
    fn end_map(&mut self) {
        self.end();
    }
}

/// `text` as the content of an element. Characters that XML 1.0 has no way to write become U+FFFD.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(character),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}
