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
    use super::*;

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
