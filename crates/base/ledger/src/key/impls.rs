//! The keys that need no code of their own.

use std::sync::Arc;

use terms::{
    AccountId, CapacityProviderName, ClusterName, ContainerInstanceId, Family, Region, ServiceName,
    TaskId, Timestamp, Uuid,
};

use super::{Key, KeyError, KeyReader, KeyWriter};

macro_rules! unsigned {
    ($($integer:ty),*) => {$(
        impl Key for $integer {
            fn encode(&self, writer: &mut KeyWriter) {
                writer.fixed(&self.to_be_bytes());
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                reader.fixed().map(Self::from_be_bytes)
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, u128);

macro_rules! signed {
    ($($integer:ty),*) => {$(
        impl Key for $integer {
            /// With the sign bit turned over, so that negative numbers sort first.
            fn encode(&self, writer: &mut KeyWriter) {
                writer.fixed(&(self ^ <$integer>::MIN).to_be_bytes());
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                reader.fixed().map(|bytes| Self::from_be_bytes(bytes) ^ <$integer>::MIN)
            }
        }
    )*};
}

signed!(i32, i64);

impl Key for bool {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.fixed(&[u8::from(*self)]);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        match reader.fixed()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(KeyError::new("a yes or no")),
        }
    }
}

impl<const N: usize> Key for [u8; N] {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.fixed(self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.fixed()
    }
}

impl Key for String {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.text(self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.text()
    }
}

impl Key for Arc<str> {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.text(self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.text().map(Self::from)
    }
}

macro_rules! texts {
    ($($name:ty, $expected:literal;)*) => {$(
        impl Key for $name {
            fn encode(&self, writer: &mut KeyWriter) {
                writer.text(self.as_str());
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                reader.text()?.parse().map_err(|_| KeyError::new($expected))
            }
        }
    )*};
}

texts! {
    AccountId, "an account id";
    Region, "a region";
    CapacityProviderName, "a capacity provider name";
    ClusterName, "a cluster name";
    Family, "a family";
    ServiceName, "a service name";
}

macro_rules! ids {
    ($($name:ty),*) => {$(
        impl Key for $name {
            fn encode(&self, writer: &mut KeyWriter) {
                writer.fixed(&self.bytes());
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                reader.fixed().map(Self::from_bytes)
            }
        }
    )*};
}

ids!(TaskId, ContainerInstanceId);

impl Key for Uuid {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.text(&self.to_string());
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.text()?.parse().map_err(|_| KeyError::new("a UUID"))
    }
}

impl Key for Timestamp {
    fn encode(&self, writer: &mut KeyWriter) {
        self.millis().encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        i64::decode(reader).map(Self::from_millis)
    }
}

/// `None` sorts before every value, as `Ord` has it.
impl<K: Key> Key for Option<K> {
    fn encode(&self, writer: &mut KeyWriter) {
        self.is_some().encode(writer);
        if let Some(key) = self {
            key.encode(writer);
        }
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(if bool::decode(reader)? { Some(K::decode(reader)?) } else { None })
    }
}

/// The key of a table with one row, and the prefix that every key has.
impl Key for () {
    fn encode(&self, _: &mut KeyWriter) {}

    fn decode(_: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => {$(
        impl<$($part: Key),*> Key for ($($part,)*) {
            #[allow(non_snake_case)]
            fn encode(&self, writer: &mut KeyWriter) {
                let ($($part,)*) = self;
                $($part.encode(writer);)*
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(($($part::decode(reader)?,)*))
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) }

#[cfg(test)]
mod tests {
    use super::super::{decode, encode};
    use super::*;

    #[test]
    fn bytes_sort_as_keys_do() {
        fn check<K: Key>(sorted: &[K]) {
            for pair in sorted.windows(2) {
                assert!(pair[0] < pair[1] && encode(&pair[0]) < encode(&pair[1]), "{pair:?}");
            }
            for key in sorted {
                assert_eq!(decode::<K>(&encode(key)).as_ref(), Ok(key));
            }
        }
        check(&[i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX]);
        check(&[0_u32, 1, 255, 256, u32::MAX]);
        check(
            &["", "\0", "\0a", "\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab", "b", "é"]
                .map(String::from),
        );
        check(&[("a".to_owned(), u32::MAX), ("a\0".to_owned(), 0), ("ab".to_owned(), 0)]);
        check(&[None, Some(0_u8), Some(1)]);
    }

    #[test]
    fn other_bytes_are_no_keys() {
        assert!(decode::<u32>(&[1, 2, 3]).is_err());
        assert!(decode::<u32>(&[1, 2, 3, 4, 5]).is_err());
        assert!(decode::<String>(b"no end").is_err());
        assert!(decode::<String>(&[0xc3, 0, 1]).is_err());
        assert!(decode::<bool>(&[2]).is_err());
        assert!(decode::<AccountId>(&encode(&"x".to_owned())).is_err());
    }
}
