//! Byte strings that many share, behind a pointer of one word: a ledger holds each row's key in a
//! map and in every index, so a word a pointer is a hundred bytes a row.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use triomphe::ThinArc;

/// Bytes that never change. A clone shares them. They compare and hash as a slice.
#[derive(Clone)]
pub struct Bytes(ThinArc<(), u8>);

/// A key of one index, with the index's number. It compares and hashes as its bytes alone, for it
/// stands among keys of the same index; [`IndexKey::place`] orders keys of several.
#[derive(Clone)]
pub(crate) struct IndexKey(ThinArc<u16, u8>);

impl IndexKey {
    pub(crate) fn new(index: u16, bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice(index, bytes))
    }

    /// The index that it is a key of.
    pub(crate) fn index(&self) -> u16 {
        self.0.header.header
    }

    /// What orders keys of several indexes.
    pub(crate) fn place(&self) -> (u16, &[u8]) {
        (self.index(), self)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice((), bytes))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

macro_rules! as_slice {
    ($($name:ident)*) => {$(
        impl Deref for $name {
            type Target = [u8];
            fn deref(&self) -> &[u8] {
                &self.0.slice
            }
        }

        impl Borrow<[u8]> for $name {
            fn borrow(&self) -> &[u8] {
                self
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                (**self).cmp(&**other)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }
    )*};
}

as_slice! { Bytes IndexKey }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_their_bytes_behind_one_word() {
        let (bytes, key) = (Bytes::from(vec![1, 2, 3]), IndexKey::new(7, &[1, 2, 3]));
        assert_eq!((&*bytes, &*key, key.index()), (&[1, 2, 3][..], &[1, 2, 3][..], 7));
        assert!(bytes < Bytes::from(&[1, 3][..]) && Bytes::from(&[][..]).is_empty());
        assert_eq!(size_of::<Bytes>() + size_of::<IndexKey>(), 2 * size_of::<usize>());
    }
}
