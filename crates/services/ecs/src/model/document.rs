//! Shapes that are kept whole.

pub(crate) use wire::document::{Document, json};
#[cfg(test)]
use wire::{
    check::Check,
    protocol::JsonReader,
    value::{Structure, Value},
};

/// A shape read from AWS JSON, as tests write it.
#[cfg(test)]
pub(crate) fn parse_json<T: Structure + Value>(json: &str) -> T {
    let mut check = Check::strict();
    let mut shape = None;
    let read = JsonReader::read_document(json.as_bytes(), &mut check, &mut |reader| {
        shape = T::read(reader, T::SCHEMA)?;
        Ok(())
    });
    read.unwrap_or_else(|error| panic!("{json}: {error:?}"));
    assert!(check.violations().is_empty(), "{json}: {:?}", check.violations());
    shape.expect("the document is not null")
}
