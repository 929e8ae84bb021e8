//! Smithy's document type: a value of any form, kept as it came.

use serde_json::Value as Json;

use crate::schema::Schema;
use crate::value::{Read, Reader, Value, Writer};

/// A value whose form no model knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Any(pub Json);

impl Value for Any {
    fn read(reader: &mut dyn Reader, _: &'static Schema) -> Read<Self> {
        Ok(reader.document()?.map(Self))
    }
    fn write(&self, writer: &mut dyn Writer, _: &'static Schema) {
        writer.document(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::Check;
    use crate::protocol::{CborReader, CborWriter, JsonReader, JsonWriter};
    use crate::value::UNIT;

    #[test]
    fn a_document_is_what_it_was_in_every_protocol_that_has_them() {
        let value = Any(json!({
            "text": "a \"word\"", "none": null, "whole": -7, "part": 1.5, "yes": true,
            "list": [1, {"deep": []}], "empty": {},
        }));
        let mut writer = JsonWriter::default();
        value.write(&mut writer, &UNIT);
        let (text, mut check, mut read) = (writer.finish(), Check::lenient(), None);
        let each = &mut |reader: &mut dyn Reader| {
            read = Any::read(reader, &UNIT)?;
            Ok(())
        };
        JsonReader::read_document(&text, &mut check, each).expect("it is JSON");
        assert_eq!(read.as_ref(), Some(&value));

        let mut writer = CborWriter::default();
        value.write(&mut writer, &UNIT);
        let (bytes, mut check, mut read) = (writer.finish(), Check::lenient(), None);
        let each = &mut |reader: &mut dyn Reader| {
            read = Any::read(reader, &UNIT)?;
            Ok(())
        };
        CborReader::read_document(&bytes, &mut check, each).expect("it is CBOR");
        assert_eq!(read.as_ref(), Some(&value));
    }
}
