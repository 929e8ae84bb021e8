//! Filters and pages: the same for every operation that lists (EC2 API reference, "Filter" and
//! "Pagination").

use data_encoding::BASE64URL_NOPAD;
use shapes_ec2 as shapes;

use crate::error::Error;

/// How many values the filters of one request may have (EC2 User Guide, "Filter resources").
const MAX_FILTER_VALUES: usize = 200;
/// What the text behind a token begins with; so that a later form is told apart.
const TOKEN_MARK: &str = "1/";

/// What a filter compares: the texts that a row has for it.
pub(super) type Texts<T> = fn(&T) -> Vec<String>;

/// How rows of one kind are filtered and ordered.
pub(super) struct Listing<T: 'static> {
    /// What rows are ordered by; unique.
    pub(super) key: fn(&T) -> String,
    /// The tags of a row.
    pub(super) tags: fn(&T) -> &[shapes::Tag],
    /// The filters by name, those for tags not among them.
    pub(super) filters: &'static [(&'static str, Texts<T>)],
    /// Whether tags can be filtered by.
    pub(super) has_tags: bool,
}

/// What a request wants to see.
pub(super) struct Wish<'a> {
    /// All of them must match.
    pub(super) filters: Option<&'a [shapes::Filter]>,
    /// How many rows a page may have; all, if not set.
    pub(super) max_results: Option<i32>,
    /// Where the page begins.
    pub(super) next_token: Option<&'a str>,
}

/// A page, and the token of the next one.
pub(super) type Page<T> = (Vec<T>, Option<String>);

impl<T> Listing<T> {
    /// The rows that a request wants to see.
    ///
    /// # Errors
    /// For a filter that is not known, and for a token that no answer gave.
    pub(super) fn select(&self, mut rows: Vec<T>, wish: &Wish<'_>) -> Result<Page<T>, Error> {
        let wanted = self.wanted(wish.filters.unwrap_or_default())?;
        let after = wish.next_token.map(read_token).transpose()?;
        rows.retain(|row| wanted.iter().all(|wanted| wanted.matches(self, row)));
        rows.sort_by_cached_key(self.key);
        if let Some(after) = after {
            rows.retain(|row| (self.key)(row) > after);
        }
        let most = wish.max_results.and_then(|most| usize::try_from(most).ok());
        let more = most.is_some_and(|most| rows.len() > most);
        rows.truncate(most.unwrap_or(usize::MAX));
        let last = rows.last().filter(|_| more).map(self.key);
        Ok((rows, last.map(|key| token(&key))))
    }

    /// The filters of a request, understood.
    fn wanted<'a>(&self, filters: &'a [shapes::Filter]) -> Result<Vec<Wanted<'a, T>>, Error> {
        let values = |filter: &'a shapes::Filter| filter.values.as_deref().unwrap_or_default();
        if filters.iter().map(|filter| values(filter).len()).sum::<usize>() > MAX_FILTER_VALUES {
            return Err(Error::FilterValues);
        }
        let understand = |filter: &'a shapes::Filter| {
            // EC2 words a filter without a name so.
            let name = filter.name.as_deref().unwrap_or("null");
            let field = self.field(name).ok_or_else(|| Error::Filter(name.to_owned()))?;
            Ok(Wanted { field, values: values(filter) })
        };
        filters.iter().map(understand).collect()
    }

    fn field<'a>(&self, name: &'a str) -> Option<Field<'a, T>> {
        match name {
            "tag-key" if self.has_tags => Some(Field::TagKey),
            "tag-value" if self.has_tags => Some(Field::TagValue),
            _ => {
                let tag = name.strip_prefix("tag:").filter(|_| self.has_tags).map(Field::Tag);
                let texts = || self.filters.iter().find(|(known, _)| *known == name);
                tag.or_else(|| texts().map(|(_, texts)| Field::Texts(*texts)))
            }
        }
    }
}

/// What a filter looks at.
enum Field<'a, T> {
    Texts(Texts<T>),
    TagKey,
    TagValue,
    Tag(&'a str),
}

/// A filter that is known: one of its values must match.
struct Wanted<'a, T> {
    field: Field<'a, T>,
    values: &'a [String],
}

impl<T> Wanted<'_, T> {
    fn matches(&self, listing: &Listing<T>, row: &T) -> bool {
        let is_wanted = |text: &str| self.values.iter().any(|value| matches(value, text));
        let has = |text: &Option<String>| text.as_deref().is_some_and(is_wanted);
        let tags = (listing.tags)(row);
        match &self.field {
            Field::Texts(texts) => texts(row).iter().any(|text| is_wanted(text)),
            Field::TagKey => tags.iter().any(|tag| has(&tag.key)),
            Field::TagValue => tags.iter().any(|tag| has(&tag.value)),
            Field::Tag(key) => {
                tags.iter().any(|tag| tag.key.as_deref() == Some(key) && has(&tag.value))
            }
        }
    }
}

/// Whether `text` is what `pattern` says: `*` stands for any text, `?` for one character, and a
/// backslash takes the meaning from what follows. Capitals matter. Linear in the text for each
/// star, never exponential.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = symbols(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut from) = (0, 0);
    // Where the last star stood, and how much of the text it is taken to stand for.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(Symbol::Any) => {
                star = Some((at, from));
                at += 1;
            }
            Some(Symbol::One) => (at, from) = (at + 1, from + 1),
            Some(Symbol::Exactly(c)) if *c == text[from] => (at, from) = (at + 1, from + 1),
            Some(Symbol::Exactly(_)) | None => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, from) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|symbol| matches!(symbol, Symbol::Any))
}

enum Symbol {
    Any,
    One,
    Exactly(char),
}

fn symbols(pattern: &str) -> Vec<Symbol> {
    let mut characters = pattern.chars();
    let mut symbols = Vec::with_capacity(pattern.len());
    while let Some(character) = characters.next() {
        symbols.push(match character {
            '*' => Symbol::Any,
            '?' => Symbol::One,
            '\\' => Symbol::Exactly(characters.next().unwrap_or('\\')),
            character => Symbol::Exactly(character),
        });
    }
    symbols
}

fn token(key: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{TOKEN_MARK}{key}").as_bytes())
}

/// The key of the last row before the page.
fn read_token(token: &str) -> Result<String, Error> {
    let text = BASE64URL_NOPAD.decode(token.as_bytes()).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.as_deref().and_then(|text| text.strip_prefix(TOKEN_MARK)).map(str::to_owned);
    key.ok_or_else(|| Error::NextToken(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_ec2_says() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        };
        check("172.31.0.0/16", "172.31.0.0/16", true);
        check("172.31.0.0/16", "172.31.0.0/1", false);
        check("172.*", "172.31.0.0/16", true);
        check("*/20", "172.31.0.0/16", false);
        check("*", "", true);
        check("", "", true);
        check("", "a", false);
        check("?", "", false);
        check("us-east-1?", "us-east-1a", true);
        check("us-east-1?", "us-east-1", false);
        check("*a*b", "xaxbxb", true);
        check("*a*b", "xaxbx", false);
        check(r"\*", "*", true);
        check(r"\*", "x", false);
        check(r"a\?", "a?", true);
        check(r"a\", r"a\", true);
        check("Default", "default", false);
        check("é?", "éü", true);
        // Not in exponential time.
        check(&"*a".repeat(100), &"a".repeat(99), false);
    }

    #[test]
    fn only_tokens_that_were_given_are_taken() {
        assert_eq!(read_token(&token("eni-1")).ok().as_deref(), Some("eni-1"));
        for foreign in ["", "nonsense", "MQ", "é", &BASE64URL_NOPAD.encode(b"2/eni-1")] {
            let refused = read_token(foreign);
            assert!(matches!(refused, Err(Error::NextToken(text)) if text == foreign), "{foreign}");
        }
    }
}
