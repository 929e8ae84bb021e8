//! Filter patterns (CloudWatch Logs user guide, "Filter pattern syntax"): of text, of JSON in
//! braces, of fields between blanks in brackets; regular expressions between `%` in all three.

mod cursor;
mod fields;
mod json;
#[cfg(test)]
mod naive;
mod regexes;
mod text;
mod value;

use std::collections::BTreeMap;

/// Regular expressions of one pattern.
const REGEXES_MAX: usize = 2;

/// A text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

/// What matches messages.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// Terms that must or must not be there.
    Text(text::Terms),
    /// Conditions on members of a JSON object.
    Json(json::Expression),
    /// Conditions on fields between blanks.
    Fields(fields::Slots),
}

impl Pattern {
    /// Reads a pattern; a blank one matches all.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let trimmed = text.trim();
        let pattern = match trimmed.chars().next() {
            Some('{') => Self::Json(json::parse(trimmed)?),
            Some('[') => Self::Fields(fields::Slots::parse(trimmed)?),
            _ => Self::Text(text::Terms::parse(trimmed)?),
        };
        match pattern.regexes() > REGEXES_MAX {
            true => Err(Invalid),
            false => Ok(pattern),
        }
    }

    fn regexes(&self) -> usize {
        match self {
            Self::Text(terms) => terms.regexes(),
            Self::Json(expression) => expression.regexes(),
            Self::Fields(slots) => slots.regexes(),
        }
    }

    /// Whether a message matches.
    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Text(terms) => terms.matches(message),
            Self::Json(expression) => expression.matches(message),
            Self::Fields(slots) => slots.matches(message),
        }
    }

    /// What a metric could be made of in a message that matches: `$name` of fields, `$.path` of
    /// members.
    pub(crate) fn extracted(&self, message: &str) -> BTreeMap<String, String> {
        match self {
            Self::Text(_) => BTreeMap::new(),
            Self::Json(expression) => expression.extracted(message),
            Self::Fields(slots) => slots.extracted(message),
        }
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
            text in prop_oneof![
                ".{0,40}",
                "[-?\"%{\\[ a-cé\t]{0,30}",
                "[{\\[][$.a-c\\[\\]()&|=!<>0-9*\"%' ISNOTEXULR]{0,40}[}\\]]",
            ],
            message in prop_oneof!["[a-c é\"\\[\\]]{0,20}", "\\{\"a\":[0-9\"a{}\\[\\]:,]{0,12}\\}"],
        ) {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.matches(&message);
                pattern.extracted(&message);
            }
        }
    }

    /// Examples of the user guide and of our reference.
    #[test]
    fn examples() {
        let check = |pattern: &str, message: &str, expected: bool| {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(message), expected, "{pattern} on {message}");
        };
        check("ERROR", "[ERROR 400] BAD REQUEST", true);
        check("%4[0-9]{2}%", "[ERROR 400] BAD", true);
        check("%4[0-9]{2}%", "[ERROR 500] BAD", false);
        check("ERROR -%4\\d\\d%", "ERROR 401", false);
        let event = r#"{"eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111",
            "arrayKey": ["value", "another value"], "objectList": [{"name": "a", "id": 1},
            {"name": "b", "id": 2}], "SomeObject": null, "cluster.name": "c", "n": 1.5e3,
            "ok": true, "text": "42"}"#;
        check(r#"{ $.eventType = "UpdateTrail" }"#, event, true);
        check(r"{ $.sourceIPAddress != 123.123.* }", event, true);
        check(r"{ $.sourceIPAddress = 111.111.* }", event, true);
        check(r#"{ $.arrayKey[0] = "value" }"#, event, true);
        check(r#"{ $.arrayKey[*] = "another value" }"#, event, true);
        check(r#"{ $.arrayKey = "value" }"#, event, false);
        check(r"{ $.objectList[1].id = 2 }", event, true);
        check(r"{ $.objectList[*].id > 1 }", event, true);
        check(r"{ $.objectList[*].id > 2 }", event, false);
        check(r"{ $.SomeObject IS NULL }", event, true);
        check(r"{ $.SomeOtherObject IS NULL }", event, false);
        check(r"{ $.SomeOtherObject NOT EXISTS }", event, true);
        check(r"{ $.SomeObject NOT EXISTS }", event, false);
        check(r"{ $.ok IS TRUE && $.n >= 1500 }", event, true);
        check(r"{ $.ok IS FALSE || ($.n < 1 && $.n > 0) }", event, false);
        check(r#"{ $.['cluster.name'] = "c" }"#, event, true);
        check(r"{ $.text = 42 }", event, true);
        check(r"{ $.eventType = %Trail$% }", event, true);
        check(r#"{ $.eventType = "*" }"#, event, true);
        check(r"{ $.missing != 1 }", event, false);
        check(r"{ $.* = 42 }", event, true);
        check(r"{ $.a = 1 }", "no JSON", false);
        let line = "127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] \"GET /index.html HTTP/1.0\" 404 1534";
        check("[ip, server, user, time, request, status = 404, size]", line, true);
        check("[ip, server, user, time, request, status = 4*, size > 1000]", line, true);
        check("[..., status = 404, size]", line, true);
        check("[ip, ..., size = 1534]", line, true);
        check("[ip, server, user]", line, true);
        check("[ip, server = Dev, ...]", line, false);
        check("[a, b, c, time = \"10/Oct*\", ...]", line, true);
        check("[ip != %^10\\.%, server = Prod || server = Dev, ...]", line, true);
        check("[a, , c, ...]", line, true);
        check("[a = 127.0.0.1]", line, false);
    }

    #[test]
    fn what_is_no_pattern() {
        for wrong in [
            "a:b",
            "\"open",
            "-",
            "a-b",
            "%a",
            "%(a)%",
            "%é%",
            "{ $.a }",
            "{ $.a = }",
            "{ a = 1 }",
            "{ $.a = 1",
            "{ $.a == 1 }",
            "{ $.a < b }",
            "{ $.a[*].b[*] = 1 }",
            "{}",
            "[a, ..., b, ...]",
            "[a = ]",
            "[a b]",
            "[a = 1 && b = 2]",
            "{ $.a IS NOT NULL }",
            "{ $.a < %1% }",
            "%a% %b% %c%",
            "[",
            "{ ($.a = 1 }",
        ] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_extracted() {
        let check = |pattern: &str, message: &str, expected: &[(&str, &str)]| {
            let extracted = Pattern::parse(pattern).unwrap().extracted(message);
            let extracted: Vec<_> =
                extracted.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(extracted, expected, "{pattern} on {message}");
        };
        check("a", "a b", &[]);
        check("[ip, ..., size]", "1.1.1.1 x y 7", &[("$ip", "1.1.1.1"), ("$size", "7")]);
        check("{ $.a.b = 1 || $.c NOT EXISTS }", r#"{"a": {"b": 1}}"#, &[("$.a.b", "1")]);
    }
}
