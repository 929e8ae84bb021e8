//! Values of labels that are not known when this is compiled, but few.

use std::collections::HashSet;

use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// How many words there can be; all further ones are `other`.
pub const WORDS_MAX: usize = 512;
/// The longest word, in bytes; longer ones are `other`.
const WORD_MAX_BYTES: usize = 64;
/// What stands for the words that are too many or too long.
const OTHER: &str = "other";

static WORDS: Words = Words(RwLock::new(None));

/// The words that were met.
struct Words(RwLock<Option<HashSet<&'static str>>>);

impl Words {
    fn word(&self, text: &str) -> Word {
        if let Some(known) = self.0.read().as_ref().and_then(|words| words.get(text)) {
            return Word(known);
        }
        if text.len() > WORD_MAX_BYTES {
            return Word(OTHER);
        }
        let mut words = self.0.write();
        let words = words.get_or_insert_default();
        if let Some(known) = words.get(text) {
            return Word(known);
        }
        if words.len() >= WORDS_MAX {
            return Word(OTHER);
        }
        let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
        words.insert(kept);
        Word(kept)
    }
}

/// The value of a label: a text of the code, or one of the at most [`WORDS_MAX`] words that this
/// process met first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(&'static str);

impl Word {
    /// A word that stands in the code.
    pub const fn new(text: &'static str) -> Self {
        Self(text)
    }

    /// The word of a text that is made as we run, such as the code of an error.
    pub fn of(text: &str) -> Self {
        WORDS.word(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_few_and_short() {
        let words = Words(RwLock::new(None));
        assert_eq!(words.word("ClientException").as_str(), "ClientException");
        assert_eq!(words.word(&"x".repeat(65)).as_str(), OTHER);
        for number in 0..2 * WORDS_MAX {
            words.word(&format!("made-up-{number}"));
        }
        assert_eq!(words.word("one too many").as_str(), OTHER);
        assert_eq!(words.word("ClientException").as_str(), "ClientException");
    }
}
