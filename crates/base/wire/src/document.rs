//! A shape that is kept whole: typed in memory, AWS JSON text in the store.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use crate::check::Check;
use crate::protocol::{JsonReader, JsonWriter};
use crate::value::{Structure, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many bytes a document is given room for at first.
const CAPACITY_BYTES: usize = 1024;

/// Longer texts are not looked for among those that were read before.
const SHARED_BYTES_MAX: usize = 512;

/// A member of the API stored as it came, so that it can be returned as it came. Clones share it.
#[derive(Debug, Default, PartialEq)]
pub struct Document<T>(Arc<T>);

impl<T> Clone for Document<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Document<T> {
    /// Keeps `shape` whole.
    pub fn new(shape: T) -> Self {
        Self(Arc::new(shape))
    }
}

impl<T: Structure + Value + Send + Sync + 'static> Document<T> {
    /// The same for a shape that many rows have in common: equal ones mostly share their memory.
    pub fn shared(shape: T) -> Self {
        match std::str::from_utf8(&json(&shape)) {
            Ok(text) => Self::known(text, || Ok::<_, Infallible>(shape))
                .unwrap_or_else(|never| match never {}),
            Err(_) => Self::new(shape),
        }
    }

    /// The shape of a text; the one that this thread read last from it, if it was not long ago.
    fn known<E>(text: &str, read: impl FnOnce() -> Result<T, E>) -> Result<Self, E> {
        if text.len() > SHARED_BYTES_MAX {
            return read().map(Self::new);
        }
        let known = terms::shared(
            text,
            |known: &Known<T>| *known.text == *text,
            || Ok(Known { text: text.into(), document: Self::new(read()?) }),
        );
        Ok(known?.document.clone())
    }
}

/// A document and its text.
struct Known<T> {
    text: Box<str>,
    document: Document<T>,
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
impl<'de, T: Structure + Value + Send + Sync + 'static> Deserialize<'de> for Document<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::known(&text, || read(&text).map_err(serde::de::Error::custom))
    }
}

fn read<T: Structure + Value>(text: &str) -> Result<T, String> {
    let mut check = Check::lenient();
    let mut shape = None;
    let read = JsonReader::read_document(text.as_bytes(), &mut check, &mut |reader| {
        shape = T::read(reader, T::SCHEMA)?;
        Ok(())
    });
    read.map_err(|error| error.to_string())?;
    shape.ok_or_else(|| "the document is null".to_owned())
}
