//! How values of generated types are read and written: one generic walk for all protocols.
//!
//! A codec implements [`Reader`] or [`Writer`] and knows nothing of types or constraints; a type
//! implements [`Value`] and knows nothing of protocols. Both sides meet here as trait objects, so
//! each type is compiled once, however many protocols there are.

use std::collections::BTreeMap;

use terms::Timestamp;

use crate::check::{Check, Presence, Step};
use crate::schema::{Kind, Member, Schema};

/// The input is not of the protocol's form, or of the wrong type: `SerializationException`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// What is wrong, naming the member.
    pub message: String,
}

/// What reading gives: the value, or `None` for null and for a value that breaks a constraint
/// (which the reader's [`Check`] then knows).
pub type Read<T> = Result<Option<T>, Malformed>;

/// Receives the members of a structure, by index.
pub type OnMember<'a> = &'a mut dyn FnMut(&mut dyn Reader, usize) -> Result<(), Malformed>;
/// Receives the items of a list.
pub type OnItem<'a> = &'a mut dyn FnMut(&mut dyn Reader) -> Result<(), Malformed>;
/// Receives the entries of a map.
pub type OnEntry<'a> = &'a mut dyn FnMut(&mut dyn Reader, String) -> Result<(), Malformed>;

/// A codec's reading half, standing before a value. Each method consumes that value; `None` and
/// `false` mean null. Unknown members are skipped.
pub trait Reader {
    /// The constraints' bookkeeper, with the path of the value.
    fn check(&mut self) -> &mut Check;
    /// True or false.
    fn boolean(&mut self) -> Read<bool>;
    /// A whole number between the bounds; `name` is the type's name in errors.
    fn integer(&mut self, min: i64, max: i64, name: &'static str) -> Read<i64>;
    /// A number.
    fn double(&mut self) -> Read<f64>;
    /// Text.
    fn string(&mut self) -> Read<String>;
    /// Bytes.
    fn blob(&mut self) -> Read<Vec<u8>>;
    /// An instant.
    fn timestamp(&mut self, schema: &'static Schema) -> Read<Timestamp>;
    /// The members of a structure that are present and known.
    fn structure(&mut self, schema: &'static Schema, each: OnMember<'_>)
    -> Result<bool, Malformed>;
    /// The items of a list.
    fn list(&mut self, item: &'static Member, each: OnItem<'_>) -> Result<bool, Malformed>;
    /// The entries of a map.
    fn map(&mut self, schema: &'static Schema, each: OnEntry<'_>) -> Result<bool, Malformed>;
    /// A value of any form. Only the protocols of JSON's kind have such.
    fn document(&mut self) -> Read<serde_json::Value> {
        let message = "Documents cannot be sent in this protocol.".to_owned();
        Err(Malformed { message })
    }
}

/// A codec's writing half.
pub trait Writer {
    /// True or false.
    fn boolean(&mut self, value: bool);
    /// A whole number.
    fn integer(&mut self, value: i64, schema: &'static Schema);
    /// A number.
    fn double(&mut self, value: f64, schema: &'static Schema);
    /// Text.
    fn string(&mut self, value: &str, schema: &'static Schema);
    /// Bytes.
    fn blob(&mut self, value: &[u8], schema: &'static Schema);
    /// An instant.
    fn timestamp(&mut self, value: Timestamp, schema: &'static Schema);
    /// A structure begins; its members follow.
    fn begin_structure(&mut self, schema: &'static Schema);
    /// The member at `index` follows.
    fn member(&mut self, index: usize, member: &'static Member);
    /// The structure ends.
    fn end_structure(&mut self);
    /// A list begins; its items follow.
    fn begin_list(&mut self, schema: &'static Schema, length: usize);
    /// An item follows.
    fn item(&mut self);
    /// The list ends.
    fn end_list(&mut self);
    /// A map begins; its entries follow.
    fn begin_map(&mut self, schema: &'static Schema, length: usize);
    /// The entry of this key follows.
    fn key(&mut self, key: &str);
    /// The map ends.
    fn end_map(&mut self);
    /// A value of any form; nothing in protocols that have no such.
    fn document(&mut self, _value: &serde_json::Value) {}
}

/// A type that codecs can read and write.
pub trait Value: Sized {
    /// Reads a value of the shape `schema`.
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self>;
    /// Writes the value as the shape `schema`.
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema);
}

/// A generated structure.
pub trait Structure: Default {
    /// The structure's shape.
    const SCHEMA: &'static Schema;
    /// Reads the member at `index` of the schema's members; false if it was null.
    fn read_member(&mut self, index: usize, reader: &mut dyn Reader) -> Result<bool, Malformed>;
    /// Writes the members that are there.
    fn write_members(&self, writer: &mut dyn Writer);
}

/// A generated enumeration.
pub trait Enumeration: Copy {
    /// The value of this text.
    fn parse(text: &str) -> Option<Self>;
    /// The text of the value.
    fn as_str(self) -> &'static str;
}

/// Reads a structure and checks that what it requires is there.
pub fn read_structure<T: Structure>(reader: &mut dyn Reader) -> Read<T> {
    let mut value = T::default();
    let mut present = Presence::default();
    let members = T::SCHEMA.members();
    let found = reader.structure(T::SCHEMA, &mut |reader, index| {
        reader.check().enter(Step::Member(members[index].name));
        if value.read_member(index, reader)? {
            present.insert(index);
        }
        reader.check().leave();
        Ok(())
    })?;
    if !found {
        return Ok(None);
    }
    reader.check().structure(T::SCHEMA, &present);
    Ok(Some(value))
}

/// Writes a structure.
pub fn write_structure<T: Structure>(value: &T, writer: &mut dyn Writer) {
    writer.begin_structure(T::SCHEMA);
    value.write_members(writer);
    writer.end_structure();
}

/// Reads an enumeration; an unknown text breaks a constraint.
pub fn read_enumeration<T: Enumeration>(
    reader: &mut dyn Reader,
    schema: &'static Schema,
) -> Read<T> {
    let Some(text) = reader.string()? else { return Ok(None) };
    let value = T::parse(&text);
    if value.is_none() {
        reader.check().string(&text, schema);
        // Broken, not absent: do not report the member as missing as well.
        reader.check().mark_broken();
    }
    Ok(value)
}

/// Reads a member that may be absent; for generated code.
pub fn read_optional<T: Value>(
    slot: &mut Option<T>,
    reader: &mut dyn Reader,
    member: &'static Member,
) -> Result<bool, Malformed> {
    *slot = T::read(reader, member.target)?;
    Ok(slot.is_some() || reader.check().take_broken())
}

/// Reads a member that must be there; for generated code.
pub fn read_required<T: Value>(
    slot: &mut T,
    reader: &mut dyn Reader,
    member: &'static Member,
) -> Result<bool, Malformed> {
    let value = T::read(reader, member.target)?;
    let present = value.is_some() || reader.check().take_broken();
    if let Some(value) = value {
        *slot = value;
    }
    Ok(present)
}

/// Writes a member if it is there; for generated code.
pub fn write_optional<T: Value>(
    value: &Option<T>,
    index: usize,
    writer: &mut dyn Writer,
    members: &'static [Member],
) {
    if let Some(value) = value {
        write_required(value, index, writer, members);
    }
}

/// Writes a member; for generated code.
pub fn write_required<T: Value>(
    value: &T,
    index: usize,
    writer: &mut dyn Writer,
    members: &'static [Member],
) {
    let member = &members[index];
    writer.member(index, member);
    value.write(writer, member.target);
}

impl Value for bool {
    fn read(reader: &mut dyn Reader, _: &'static Schema) -> Read<Self> {
        reader.boolean()
    }
    fn write(&self, writer: &mut dyn Writer, _: &'static Schema) {
        writer.boolean(*self);
    }
}

impl Value for i32 {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        let value = reader.integer(i64::from(i32::MIN), i64::from(i32::MAX), "Integer")?;
        if let Some(value) = value {
            reader.check().number(value as f64, schema);
        }
        Ok(value.and_then(|value| i32::try_from(value).ok()))
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        writer.integer(i64::from(*self), schema);
    }
}

impl Value for i64 {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        let value = reader.integer(i64::MIN, i64::MAX, "Long")?;
        if let Some(value) = value {
            reader.check().number(value as f64, schema);
        }
        Ok(value)
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        writer.integer(*self, schema);
    }
}

impl Value for f64 {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        let value = reader.double()?;
        if let Some(value) = value {
            reader.check().number(value, schema);
        }
        Ok(value)
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        writer.double(*self, schema);
    }
}

impl Value for String {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        let value = reader.string()?;
        if let Some(text) = &value {
            reader.check().string(text, schema);
        }
        Ok(value)
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        writer.string(self, schema);
    }
}

impl Value for Timestamp {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        reader.timestamp(schema)
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        writer.timestamp(*self, schema);
    }
}

/// Bytes, so that a list of small numbers and a blob are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Value for Blob {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        let value = reader.blob()?;
        if let Some(bytes) = &value {
            reader.check().length(bytes.len(), schema);
        }
        Ok(value.map(Blob))
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        writer.blob(&self.0, schema);
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        let Kind::List(member) = &schema.kind else { return Ok(None) };
        let mut items = Vec::new();
        let mut count = 0;
        let found = reader.list(member, &mut |reader| {
            count += 1;
            reader.check().enter(Step::Item(count));
            if let Some(item) = T::read(reader, member.target)? {
                items.push(item);
            } else if !reader.check().take_broken() {
                reader.check().absent();
            }
            reader.check().leave();
            Ok(())
        })?;
        if found {
            reader.check().length(count, schema);
        }
        Ok(found.then_some(items))
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        let Kind::List(member) = &schema.kind else { return };
        writer.begin_list(schema, self.len());
        for item in self {
            writer.item();
            item.write(writer, member.target);
        }
        writer.end_list();
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        let Kind::Map { key: key_member, value: value_member } = &schema.kind else {
            return Ok(None);
        };
        let mut entries = BTreeMap::new();
        let found = reader.map(schema, &mut |reader, key| {
            reader.check().enter(Step::Key(key));
            reader.check().map_key(key_member.target);
            let value = T::read(reader, value_member.target)?;
            let absent = value.is_none() && !reader.check().take_broken();
            if absent {
                reader.check().absent();
            }
            if let (Step::Key(key), Some(value)) = (reader.check().leave(), value) {
                entries.insert(key, value);
            }
            Ok(())
        })?;
        if found {
            reader.check().length(entries.len(), schema);
        }
        Ok(found.then_some(entries))
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        let Kind::Map { value, .. } = &schema.kind else { return };
        writer.begin_map(schema, self.len());
        for (key, entry) in self {
            writer.key(key);
            entry.write(writer, value.target);
        }
        writer.end_map();
    }
}

/// A structure behind a pointer: a shape that holds itself.
impl<T: Value> Value for Box<T> {
    fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {
        Ok(T::read(reader, schema)?.map(Box::new))
    }
    fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {
        (**self).write(writer, schema);
    }
}

/// The shape of an operation without input or without output.
pub static UNIT: Schema = Schema::new("Unit", Kind::Structure(&[]));

/// The input of an operation without input, the output of one without output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unit;

impl Structure for Unit {
    const SCHEMA: &'static Schema = &UNIT;
    fn read_member(&mut self, _: usize, _: &mut dyn Reader) -> Result<bool, Malformed> {
        Ok(false)
    }
    fn write_members(&self, _: &mut dyn Writer) {}
}

impl Value for Unit {
    fn read(reader: &mut dyn Reader, _: &'static Schema) -> Read<Self> {
        read_structure(reader)
    }
    fn write(&self, writer: &mut dyn Writer, _: &'static Schema) {
        write_structure(self, writer);
    }
}
