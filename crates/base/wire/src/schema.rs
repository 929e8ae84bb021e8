//! The static description of a shape: what a generic codec needs to read, check and write it.

use std::sync::OnceLock;

use regex::Regex;

/// A shape of a service model.
#[derive(Debug)]
pub struct Schema {
    /// The shape's name in the model.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Bounds of a string's length in characters, a blob's in bytes, a list's or map's in entries.
    pub length: Option<Length>,
    /// Bounds of a number.
    pub range: Option<Range>,
    /// What a string must match as a whole.
    pub pattern: Option<Pattern>,
    /// The content is a secret: never echoed in an error.
    pub sensitive: bool,
}

/// The kinds of shapes, with what belongs to each.
#[derive(Debug)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// 32 bits, signed.
    Integer,
    /// 64 bits, signed.
    Long,
    /// 32 bits of floating point.
    Float,
    /// 64 bits of floating point.
    Double,
    /// Text.
    String,
    /// Text out of these values.
    Enum(&'static [&'static str]),
    /// Bytes; base64 in most protocols.
    Blob,
    /// An instant, in the format that the shape demands or else the protocol's own.
    Timestamp(Option<TimestampFormat>),
    /// A sequence.
    List(&'static Member),
    /// Text to values.
    Map {
        /// The keys.
        key: &'static Member,
        /// The values.
        value: &'static Member,
    },
    /// Named members.
    Structure(&'static [Member]),
    /// Exactly one of the named members.
    Union(&'static [Member]),
}

/// A member of a structure, or what a list or map holds.
#[derive(Debug)]
pub struct Member {
    /// The name in the model, and in errors.
    pub name: &'static str,
    /// The name on the wire where it is another one (`locationName`).
    pub wire_name: Option<&'static str>,
    /// The name in EC2 Query requests where it is another one (`queryName`).
    pub query_name: Option<&'static str>,
    /// What the member holds.
    pub target: &'static Schema,
    /// The member must be there.
    pub required: bool,
    /// A list or map without a wrapping element in Query and XML.
    pub flattened: bool,
    /// Where the member travels.
    pub location: Location,
    /// The format of the member's timestamp, before the shape's own.
    pub timestamp_format: Option<TimestampFormat>,
}

impl Member {
    /// The name on the wire in the JSON, Query and XML protocols.
    pub const fn wire(&self) -> &'static str {
        match self.wire_name {
            Some(name) => name,
            None => self.name,
        }
    }

    /// A member with this name and content, and nothing special about it.
    pub const fn new(name: &'static str, target: &'static Schema) -> Self {
        Self {
            name,
            wire_name: None,
            query_name: None,
            target,
            required: false,
            flattened: false,
            location: Location::Body,
            timestamp_format: None,
        }
    }

    /// The same member, but required.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

impl Schema {
    /// A shape of this name and kind without constraints.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, length: None, range: None, pattern: None, sensitive: false }
    }

    /// The members of a structure or union; none for other kinds.
    pub const fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure(members) | Kind::Union(members) => members,
            _ => &[],
        }
    }
}

/// Where a member travels. The JSON and Query protocols know the body only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// In the body, with the others.
    Body,
    /// In a header of that wire name.
    Header,
    /// In headers that begin with that wire name.
    Headers,
    /// In the path.
    Uri,
    /// In the query string.
    QueryString,
    /// The HTTP status.
    StatusCode,
    /// It is the whole body.
    Payload,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since the epoch with a fraction: the default of JSON.
    UnixTimestamp,
    /// `2026-01-02T03:04:05Z`: the default of Query and XML.
    Iso8601,
    /// `Fri, 02 Jan 2026 03:04:05 GMT`: the default of headers.
    Rfc822,
}

/// Bounds of a length; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// The smallest length.
    pub min: Option<u64>,
    /// The largest length.
    pub max: Option<u64>,
}

/// Bounds of a number; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The smallest number.
    pub min: Option<f64>,
    /// The largest number.
    pub max: Option<f64>,
}

/// A regular expression of a model, compiled at first use.
#[derive(Debug)]
pub struct Pattern {
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// The pattern with this source, as the model writes it.
    pub const fn new(source: &'static str) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// The text of the pattern, for errors.
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// Whether the whole of `text` matches. A pattern that cannot be compiled accepts all texts;
    /// the code generator refuses such patterns, so that none is left at run time.
    pub fn matches(&self, text: &str) -> bool {
        let compiled =
            self.compiled.get_or_init(|| Regex::new(&format!("^(?:{})$", self.source)).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}
