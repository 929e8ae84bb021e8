//! Filters of listings (API reference, `Filter`): values of one filter are alternatives, and all
//! filters must fit. A `!` before a value turns it round.

use shapes_secretsmanager as shapes;

use super::error::Error;
use super::model::Secret;
use crate::Scope;

/// One filter.
#[derive(Debug)]
pub(super) struct Filter {
    key: shapes::FilterNameStringType,
    values: Vec<String>,
}

impl Filter {
    /// Reads filters.
    pub(super) fn read(filters: &[shapes::Filter]) -> Result<Vec<Self>, Error> {
        let read = |filter: &shapes::Filter| {
            let wrong = |what: &str| {
                Error::parameter(format!("Invalid filter {what}: it must not be null or empty."))
            };
            let values = filter.values.clone().filter(|values| !values.is_empty());
            Ok(Self {
                key: filter.key.ok_or_else(|| wrong("key"))?,
                values: values.ok_or_else(|| wrong("value"))?,
            })
        };
        filters.iter().map(read).collect()
    }

    /// Whether a secret is wanted by it.
    pub(super) fn fits(&self, scope: &Scope, name: &str, secret: &Secret) -> bool {
        self.values.iter().any(|value| match value.strip_prefix('!') {
            Some(value) => !self.has(scope, name, secret, value),
            None => self.has(scope, name, secret, value),
        })
    }

    fn has(&self, scope: &Scope, name: &str, secret: &Secret, value: &str) -> bool {
        // Names and tags are told apart by case, what people write is not.
        let description = secret.description.as_deref().unwrap_or_default();
        let in_description = || has_words(description, value);
        let in_keys = || secret.tags.keys().any(|key| key.starts_with(value));
        let in_values = || secret.tags.values().any(|tag| tag.starts_with(value));
        match self.key {
            shapes::FilterNameStringType::Name => name.starts_with(value),
            shapes::FilterNameStringType::Description => in_description(),
            shapes::FilterNameStringType::TagKey => in_keys(),
            shapes::FilterNameStringType::TagValue => in_values(),
            shapes::FilterNameStringType::PrimaryRegion => scope.region.as_str().starts_with(value),
            // No other service owns a secret here.
            shapes::FilterNameStringType::OwningService => false,
            shapes::FilterNameStringType::All => {
                has_words(name, value) || in_description() || in_keys() || in_values()
            }
        }
    }
}

/// Whether each word of `wanted` begins a word of `text`, in any case.
fn has_words(text: &str, wanted: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric();
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c| !is_word(c)).collect();
    let wanted = wanted.to_lowercase();
    let mut wanted = wanted.split(|c| !is_word(c)).filter(|word| !word.is_empty());
    wanted.all(|word| words.iter().any(|other| other.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::has_words;

    #[test]
    fn words_are_found_by_their_beginnings() {
        for (text, wanted, expected) in [
            ("Password of the shop", "pass", true),
            ("Password of the shop", "shop PASSWORD", true),
            ("Password of the shop", "word", false),
            ("prod/shop-db", "db", true),
            ("", "x", false),
        ] {
            assert_eq!(has_words(text, wanted), expected, "{wanted} in {text}");
        }
    }
}
