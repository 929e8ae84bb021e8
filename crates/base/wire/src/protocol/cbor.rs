//! CBOR's items (RFC 8949), as far as Smithy's RPC v2 needs them: read into a tree, written as
//! bytes.

use crate::value::Malformed;

/// Deeper nesting is refused, as in JSON.
const MAX_DEPTH: usize = super::json_reader::MAX_DEPTH;

/// One item.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// A whole number; wide enough for all of CBOR's.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// `null` and `undefined`.
    Null,
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Item>),
    /// In the order sent. Keys are texts in Smithy; others are left out.
    Map(Vec<(String, Item)>),
    /// A tag and what it is on.
    Tagged(u64, Box<Item>),
}

/// Reads a document; an empty one is an empty map, as input without members is sent.
pub(super) fn read(bytes: &[u8]) -> Result<Item, Malformed> {
    if bytes.is_empty() {
        return Ok(Item::Map(Vec::new()));
    }
    let mut source = Source { bytes, at: 0 };
    let item = source.item(0)?;
    match source.at == bytes.len() {
        true => Ok(item),
        false => Err(source.invalid("the end of the document")),
    }
}

struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What follows an item's first byte.
enum Argument {
    Value(u64),
    Indefinite,
}

impl Source<'_> {
    fn invalid(&self, expected: &str) -> Malformed {
        let message =
            format!("The request body is not valid CBOR: expected {expected} at byte {}.", self.at);
        Malformed { message }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Malformed> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.invalid("more bytes"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, width: usize) -> Result<u64, Malformed> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn argument(&mut self, low: u8) -> Result<Argument, Malformed> {
        Ok(Argument::Value(match low {
            0..=23 => u64::from(low),
            24 => self.number(1)?,
            25 => self.number(2)?,
            26 => self.number(4)?,
            27 => self.number(8)?,
            31 => return Ok(Argument::Indefinite),
            _ => return Err(self.invalid("a known length")),
        }))
    }

    fn item(&mut self, depth: usize) -> Result<Item, Malformed> {
        if depth > MAX_DEPTH {
            return Err(self.invalid("less nesting"));
        }
        let first = self.take(1)?[0];
        let (major, low) = (first >> 5, first & 31);
        if major == 7 {
            return self.simple(low);
        }
        let argument = self.argument(low)?;
        match (major, argument) {
            (0, Argument::Value(value)) => Ok(Item::Integer(value.into())),
            (1, Argument::Value(value)) => Ok(Item::Integer(-1 - i128::from(value))),
            (2, argument) => self.chunks(argument, 2).map(Item::Bytes),
            (3, argument) => {
                let bytes = self.chunks(argument, 3)?;
                String::from_utf8(bytes).map(Item::Text).map_err(|_| self.invalid("UTF-8"))
            }
            (4, argument) => self.list(argument, depth).map(Item::List),
            (5, argument) => self.map(argument, depth).map(Item::Map),
            (6, Argument::Value(tag)) => Ok(Item::Tagged(tag, Box::new(self.item(depth + 1)?))),
            _ => Err(self.invalid("a value")),
        }
    }

    fn simple(&mut self, low: u8) -> Result<Item, Malformed> {
        Ok(match low {
            20 => Item::Boolean(false),
            21 => Item::Boolean(true),
            22 | 23 => Item::Null,
            25 => Item::Float(half(self.number(2)? as u16)),
            26 => Item::Float(f64::from(f32::from_bits(self.number(4)? as u32))),
            27 => Item::Float(f64::from_bits(self.number(8)?)),
            _ => return Err(self.invalid("a value")),
        })
    }

    /// Whether a break comes next, which is then consumed.
    fn is_over(&mut self) -> bool {
        let over = self.bytes.get(self.at) == Some(&0xff);
        self.at += usize::from(over);
        over
    }

    fn chunks(&mut self, argument: Argument, major: u8) -> Result<Vec<u8>, Malformed> {
        if let Argument::Value(length) = argument {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            return Ok(self.take(length)?.to_vec());
        }
        let mut all = Vec::new();
        while !self.is_over() {
            let first = self.take(1)?[0];
            let Argument::Value(length) = self.argument(first & 31)? else {
                return Err(self.invalid("a chunk"));
            };
            if first >> 5 != major {
                return Err(self.invalid("a chunk of the same type"));
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            all.extend_from_slice(self.take(length)?);
        }
        Ok(all)
    }

    fn list(&mut self, argument: Argument, depth: usize) -> Result<Vec<Item>, Malformed> {
        let mut items = Vec::new();
        match argument {
            Argument::Value(length) => {
                for _ in 0..length {
                    items.push(self.item(depth + 1)?);
                }
            }
            Argument::Indefinite => {
                while !self.is_over() {
                    items.push(self.item(depth + 1)?);
                }
            }
        }
        Ok(items)
    }

    fn map(&mut self, argument: Argument, depth: usize) -> Result<Vec<(String, Item)>, Malformed> {
        let mut entries = Vec::new();
        let mut left = match argument {
            Argument::Value(length) => Some(length),
            Argument::Indefinite => None,
        };
        loop {
            match &mut left {
                Some(0) => return Ok(entries),
                Some(left) => *left -= 1,
                None if self.is_over() => return Ok(entries),
                None => {}
            }
            let (key, value) = (self.item(depth + 1)?, self.item(depth + 1)?);
            if let Item::Text(key) = key {
                entries.push((key, value));
            }
        }
    }
}

/// A number of sixteen bits of floating point.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    }
}

/// Writes an item's first byte and its argument.
pub(super) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

/// Writes a text.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a number of 64 bits of floating point.
pub(super) fn write_float(out: &mut Vec<u8>, value: f64) {
    out.push(0xfb);
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_every_kind_are_read() {
        // RFC 8949, appendix A.
        let check = |bytes: &[u8], expected: Item| assert_eq!(read(bytes), Ok(expected));
        check(&[0x18, 0x64], Item::Integer(100));
        check(&[0x38, 0x63], Item::Integer(-100));
        check(&[0x1b, 0, 0, 0, 0xe8, 0xd4, 0xa5, 0x10, 0], Item::Integer(1_000_000_000_000));
        check(&[0xf9, 0x3e, 0], Item::Float(1.5));
        check(&[0xf9, 0, 1], Item::Float(5.960_464_477_539_063e-8));
        check(&[0xfa, 0x47, 0xc3, 0x50, 0], Item::Float(100_000.0));
        check(&[0xfb, 0xc0, 0x10, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66], Item::Float(-4.1));
        check(&[0xf5], Item::Boolean(true));
        check(&[0x9f, 1, 0x82, 2, 3, 0xff], {
            let inner = Item::List(vec![Item::Integer(2), Item::Integer(3)]);
            Item::List(vec![Item::Integer(1), inner])
        });
        check(&[0x7f, 0x62, b'a', b'b', 0x61, b'c', 0xff], Item::Text("abc".to_owned()));
        check(&[0xa1, 0x61, b'a', 0xf6], Item::Map(vec![("a".to_owned(), Item::Null)]));
        check(
            &[0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0],
            Item::Tagged(1, Box::new(Item::Integer(1_363_896_240))),
        );
    }

    #[test]
    fn broken_documents_are_refused() {
        for bytes in [&[0x62, b'a'][..], &[0x9f, 1], &[0x82, 1], &[0xff], &[1, 1], &[0x1c]] {
            assert!(read(bytes).is_err(), "{bytes:x?}");
        }
        assert!(read(&vec![0x81; 1000]).is_err());
        assert!(read(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
