//! A shape that is kept whole: typed in memory, AWS JSON text in the store.

use std::ops::Deref;
use std::sync::Arc;

use crate::check::Check;
use crate::protocol::{JsonReader, JsonWriter};
use crate::value::{Structure, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many bytes a document is given room for at first.
const CAPACITY_BYTES: usize = 1024;

/// A member of the API stored as it came, so that it can be returned as it came. Clones share it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document<T>(Arc<T>);

impl<T> Document<T> {
    /// Keeps `shape` whole.
    pub fn new(shape: T) -> Self {
        Self(Arc::new(shape))
    }
}

impl<T> Deref for Document<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A shape as AWS JSON.
pub fn json<T: Structure + Value>(shape: &T) -> bytes::Bytes {
    let mut writer = JsonWriter::with_capacity(CAPACITY_BYTES);
    shape.write(&mut writer, T::SCHEMA);
    writer.finish()
}

impl<T: Structure + Value> Serialize for Document<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = json(&**self);
        let text = std::str::from_utf8(&json).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}

/// What was stored is read leniently: it was checked when it came in, perhaps by an older model.
impl<'de, T: Structure + Value> Deserialize<'de> for Document<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut check = Check::lenient();
        let mut shape = None;
        let read = JsonReader::read_document(text.as_bytes(), &mut check, &mut |reader| {
            shape = T::read(reader, T::SCHEMA)?;
            Ok(())
        });
        read.map_err(serde::de::Error::custom)?;
        shape.map(Self::new).ok_or_else(|| serde::de::Error::custom("the document is null"))
    }
}
