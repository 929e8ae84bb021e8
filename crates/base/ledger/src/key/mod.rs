//! Keys as bytes whose order is the keys' order.
//!
//! Every encoding is prefix-free among values of one type (no encoding begins another), so the
//! parts of a tuple can simply follow each other, and the encoding of the first parts of a tuple
//! is a prefix of the whole: that is what [`crate::Snapshot::prefix`] looks for.

mod impls;

use std::fmt::Debug;

/// A key of a table or an index.
///
/// The order of the encoded bytes must be the order of `Ord`, and `decode` must read back exactly
/// what `encode` wrote. Implemented for integers, texts, the ids and names of `terms`,
/// `Option`, byte arrays, and tuples of up to five keys.
pub trait Key: Ord + Clone + Debug + Send + Sync + 'static {
    /// Appends the encoding of this key.
    fn encode(&self, writer: &mut KeyWriter);

    /// Reads one key back.
    ///
    /// # Errors
    /// When the bytes are not what `encode` writes.
    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

/// Bytes that are no key of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stored key is not {expected}")]
pub struct KeyError {
    expected: &'static str,
}

impl KeyError {
    /// An error that says what the bytes should have been, such as `"an account id"`.
    pub const fn new(expected: &'static str) -> Self {
        Self { expected }
    }
}

/// Ends a text, so that a shorter one sorts before its extensions. A zero byte inside is written
/// as `00 FF`, which sorts after the end mark and reads back unambiguously.
const TEXT_END: [u8; 2] = [0, 1];
const TEXT_ZERO: [u8; 2] = [0, 0xff];

/// Room that most keys fit in without growing, in bytes.
const TYPICAL_KEY_BYTES: usize = 96;

/// Collects the encoding of a key.
#[derive(Debug)]
pub struct KeyWriter {
    bytes: Vec<u8>,
}

impl KeyWriter {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(TYPICAL_KEY_BYTES) }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends bytes whose number is the same for every key of the type.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a text of any length.
    pub fn text(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            match byte {
                0 => self.bytes.extend_from_slice(&TEXT_ZERO),
                _ => self.bytes.push(byte),
            }
        }
        self.bytes.extend_from_slice(&TEXT_END);
    }
}

/// Reads keys back from their bytes.
#[derive(Debug)]
pub struct KeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (bytes, rest) =
            self.rest.split_first_chunk::<N>().ok_or(KeyError::new("long enough"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// The next text.
    ///
    /// # Errors
    /// When its end mark is missing or it is not UTF-8.
    pub fn text(&mut self) -> Result<String, KeyError> {
        const ERROR: KeyError = KeyError::new("a text");
        let mut bytes = Vec::with_capacity(self.rest.len());
        loop {
            match *self.rest {
                [0, 1, ref rest @ ..] => {
                    self.rest = rest;
                    return String::from_utf8(bytes).map_err(|_| ERROR);
                }
                [0, 0xff, ref rest @ ..] => {
                    bytes.push(0);
                    self.rest = rest;
                }
                [byte, ref rest @ ..] if byte != 0 => {
                    bytes.push(byte);
                    self.rest = rest;
                }
                _ => return Err(ERROR),
            }
        }
    }
}

/// The encoding of one key.
pub(crate) fn encode<K: Key>(key: &K) -> Vec<u8> {
    let mut writer = KeyWriter::new();
    key.encode(&mut writer);
    writer.into_bytes()
}

/// The key that `bytes` are the whole encoding of.
pub(crate) fn decode<K: Key>(bytes: &[u8]) -> Result<K, KeyError> {
    let mut reader = KeyReader::new(bytes);
    let key = K::decode(&mut reader)?;
    if reader.is_empty() { Ok(key) } else { Err(KeyError::new("this short")) }
}
