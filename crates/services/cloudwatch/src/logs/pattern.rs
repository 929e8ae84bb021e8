//! Filter patterns of plain text (CloudWatch Logs user guide, "Filter pattern syntax"): terms that
//! must be there, `-` before those that must not, `?` before those of which one is enough.

/// A pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextPattern {
    required: Vec<String>,
    excluded: Vec<String>,
    optional: Vec<String>,
}

/// Why a text is no such pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternError {
    /// It is none at all.
    Invalid,
    /// It is one of JSON, of fields, or with regular expressions.
    Other,
}

impl TextPattern {
    /// Reads a pattern; a blank one matches all.
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut pattern = Self::default();
        let mut rest = text.trim();
        if rest.starts_with(['{', '[']) {
            return Err(PatternError::Other);
        }
        while let Some(first) = rest.chars().next() {
            let (list, term) = match first {
                '-' => (&mut pattern.excluded, &rest[1..]),
                '?' => (&mut pattern.optional, &rest[1..]),
                _ => (&mut pattern.required, rest),
            };
            let (term, after) = match term.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or(PatternError::Invalid)?,
                None => term.split_once(char::is_whitespace).unwrap_or((term, "")),
            };
            let is_quoted = rest.trim_start_matches(['-', '?']).starts_with('"');
            if !is_quoted {
                if term.starts_with('%') {
                    return Err(PatternError::Other);
                }
                let is_plain = |c: char| c.is_alphanumeric() || c == '_';
                if term.is_empty() || !term.chars().all(is_plain) {
                    return Err(PatternError::Invalid);
                }
            }
            if !term.trim().is_empty() {
                list.push(term.to_owned());
            }
            rest = after.trim_start();
        }
        // Mixed with others they are ignored (user guide).
        if !pattern.required.is_empty() || !pattern.excluded.is_empty() {
            pattern.optional.clear();
        }
        Ok(pattern)
    }

    /// Whether a message matches.
    pub(super) fn matches(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
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
        /// Any text is read or refused, and what is read answers for any message.
        #[test]
        fn any_text_is_survived(
            text in prop_oneof![".{0,40}", "[-?\"%{\\[ a-cé\t]{0,30}"],
            message in "[a-c é\"]{0,20}",
        ) {
            if let Ok(pattern) = TextPattern::parse(&text) {
                pattern.matches(&message);
            }
        }

        /// A quoted part of a message is found in it, and excludes it after a `-`.
        #[test]
        fn a_part_of_a_message_is_found(message in "[a-c:é -]{1,20}", from in 0_usize..20) {
            let at = message.char_indices().map(|(at, _)| at).nth(from).unwrap_or(0);
            let part = &message[at..];
            let with = TextPattern::parse(&format!("\"{part}\"")).unwrap();
            prop_assert!(with.matches(&message));
            let without = TextPattern::parse(&format!("-\"{part}\"")).unwrap();
            prop_assert_eq!(without.matches(&message), part.trim().is_empty());
        }

        /// Plain terms are all wanted, in any order.
        #[test]
        fn plain_terms_are_all_wanted(terms in prop::collection::vec("[a-c]{1,3}", 1..4), message in "[a-c ]{0,12}") {
            let pattern = TextPattern::parse(&terms.join(" ")).unwrap();
            let expected = terms.iter().all(|term| message.contains(term.as_str()));
            prop_assert_eq!(pattern.matches(&message), expected);
            let any: Vec<String> = terms.iter().map(|term| format!("?{term}")).collect();
            let expected = terms.iter().any(|term| message.contains(term.as_str()));
            prop_assert_eq!(TextPattern::parse(&any.join(" ")).unwrap().matches(&message), expected);
        }
    }

    #[test]
    fn terms() {
        let check = |pattern: &str, message: &str, expected: bool| {
            let parsed = TextPattern::parse(pattern).unwrap();
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

    #[test]
    fn other_languages() {
        assert_eq!(TextPattern::parse("{ $.a = 1 }"), Err(PatternError::Other));
        assert_eq!(TextPattern::parse("[a, b]"), Err(PatternError::Other));
        assert_eq!(TextPattern::parse("%a.b%"), Err(PatternError::Other));
        for wrong in ["a:b", "\"open", "-", "a-b"] {
            assert_eq!(TextPattern::parse(wrong), Err(PatternError::Invalid), "{wrong}");
        }
    }
}
