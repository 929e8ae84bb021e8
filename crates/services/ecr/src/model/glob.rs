//! Patterns in which `*` stands for any run of characters, and nothing else is special.

/// Whether the whole of `text` fits `pattern`.
pub(crate) fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(matches_glob(pattern, text), expected, "{pattern} {text}");
        };
        check("prod", "prod", true);
        check("prod", "prod1", false);
        check("prod*", "prod1", true);
        check("*prod", "my-prod", true);
        check("*", "", true);
        check("a*b*c", "a1b2c", true);
        check("a*b*c", "a1c2b", false);
        check("ab*ba", "aba", false);
        check("**", "x", true);
        check("", "", true);
        check("", "x", false);
    }
}
