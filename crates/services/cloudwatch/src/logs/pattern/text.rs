//! Patterns of plain text: terms that must be there, `-` before those that must not, `?` before
//! those of which one is enough; regular expressions between `%`.

use regex::bytes::Regex;

use super::{Invalid, regexes};

/// Terms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    required: Vec<Term>,
    excluded: Vec<Term>,
    optional: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl Terms {
    /// Reads a pattern; a blank one matches all.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let mut terms = Self::default();
        let mut rest = text.trim();
        while let Some(first) = rest.chars().next() {
            let (list, term) = match first {
                '-' => (&mut terms.excluded, &rest[1..]),
                '?' => (&mut terms.optional, &rest[1..]),
                _ => (&mut terms.required, rest),
            };
            let after = if let Some(quoted) = term.strip_prefix('"') {
                let (term, after) = quoted.split_once('"').ok_or(Invalid)?;
                if !term.trim().is_empty() {
                    list.push(Term::Text(term.to_owned()));
                }
                after
            } else if let Some(regex) = term.strip_prefix('%') {
                let (regex, after) = regex.split_once('%').ok_or(Invalid)?;
                list.push(Term::Regex(regexes::parse(regex)?));
                after
            } else {
                let (term, after) = term.split_once(char::is_whitespace).unwrap_or((term, ""));
                let is_plain = |c: char| c.is_alphanumeric() || c == '_';
                if term.is_empty() || !term.chars().all(is_plain) {
                    return Err(Invalid);
                }
                list.push(Term::Text(term.to_owned()));
                after
            };
            rest = after.trim_start();
        }
        // Mixed with others they are ignored (user guide).
        if !terms.required.is_empty() || !terms.excluded.is_empty() {
            terms.optional.clear();
        }
        Ok(terms)
    }

    pub(super) fn regexes(&self) -> usize {
        let all = self.required.iter().chain(&self.excluded).chain(&self.optional);
        all.filter(|term| matches!(term, Term::Regex(_))).count()
    }

    /// Whether a message matches.
    pub(super) fn matches(&self, message: &str) -> bool {
        let has = |term: &Term| match term {
            Term::Text(text) => message.contains(text.as_str()),
            Term::Regex(regex) => regex.is_match(message.as_bytes()),
        };
        self.required.iter().all(has)
            && !self.excluded.iter().any(has)
            && (self.optional.is_empty() || self.optional.iter().any(has))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A quoted part of a message is found in it, and excludes it after a `-`.
        #[test]
        fn a_part_of_a_message_is_found(message in "[a-c:é -]{1,20}", from in 0_usize..20) {
            let at = message.char_indices().map(|(at, _)| at).nth(from).unwrap_or(0);
            let part = &message[at..];
            let with = Terms::parse(&format!("\"{part}\"")).unwrap();
            prop_assert!(with.matches(&message));
            let without = Terms::parse(&format!("-\"{part}\"")).unwrap();
            prop_assert_eq!(without.matches(&message), part.trim().is_empty());
        }

        /// Plain terms are all wanted, in any order.
        #[test]
        fn plain_terms_are_all_wanted(terms in prop::collection::vec("[a-c]{1,3}", 1..4), message in "[a-c ]{0,12}") {
            let pattern = Terms::parse(&terms.join(" ")).unwrap();
            let expected = terms.iter().all(|term| message.contains(term.as_str()));
            prop_assert_eq!(pattern.matches(&message), expected);
            let any: Vec<String> = terms.iter().map(|term| format!("?{term}")).collect();
            let expected = terms.iter().any(|term| message.contains(term.as_str()));
            prop_assert_eq!(Terms::parse(&any.join(" ")).unwrap().matches(&message), expected);
        }
    }

    #[test]
    fn terms() {
        let check = |pattern: &str, message: &str, expected: bool| {
            let parsed = Terms::parse(pattern).unwrap();
            assert_eq!(parsed.matches(message), expected, "{pattern} on {message}");
        };
        check("", "anything", true);
        check("\" \"", "anything", true);
        check("ERROR", "an ERRORCODE", true);
        check("ERROR", "an error", false);
        check("ERROR disk", "disk: ERROR", true);
        check("ERROR disk", "ERROR", false);
        check("ERROR -\"no space\"", "ERROR no space", false);
        check("ERROR -\"no space\"", "ERROR nospace", true);
        check("?A ?B", "B", true);
        check("?A ?B", "C", false);
        check("?A C", "C", true);
        check("\"a: b-c\"", "x a: b-c", true);
    }
}
