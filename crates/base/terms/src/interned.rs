//! Texts that come again and again share one copy: a ledger holds millions of ARNs, and next to
//! all of them name the same account, region and cluster.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserializer, Visitor};

/// How many texts a thread remembers; a new one takes the place of another.
const REMEMBERED: usize = 1024;

thread_local! {
    static TEXTS: RefCell<Vec<Option<Arc<str>>>> = const { RefCell::new(Vec::new()) };
}

/// The text; the copy that this thread was given last, if it was not long ago.
pub(crate) fn interned(text: &str) -> Arc<str> {
    TEXTS.with_borrow_mut(|texts| {
        if texts.is_empty() {
            texts.resize(REMEMBERED, None);
        }
        let slot = &mut texts[slot_of(text)];
        match slot {
            Some(known) if **known == *text => known.clone(),
            _ => slot.insert(text.into()).clone(),
        }
    })
}

/// FNV-1a: names are short.
fn slot_of(text: &str) -> usize {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = text.as_bytes().iter().fold(0x811c_9dc5, step);
    (hash ^ (hash >> 16)) as usize % REMEMBERED
}

/// Reads a value from its text, without a copy of the text.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_comes_again_is_the_same() {
        let (one, other) = (interned("us-east-1"), interned("us-east-1"));
        assert!(Arc::ptr_eq(&one, &other));
        for number in 0..10_000 {
            assert_eq!(*interned(&number.to_string()), number.to_string());
        }
    }
}
