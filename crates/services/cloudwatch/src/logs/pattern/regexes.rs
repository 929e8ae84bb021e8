//! The regular expressions of filter patterns: a subset, without groups and beyond ASCII.

use regex::bytes::{Regex, RegexBuilder};

use super::Invalid;

/// Symbols that stand for themselves.
const SYMBOLS: &str = " :_#=@/;,-";
/// Symbols that mean something.
const OPERATORS: &str = "^$?[]{}|*+.";
/// The most that one takes in memory, in bytes.
const SIZE_MAX: usize = 1 << 20;

/// Reads what stands between two `%`.
pub(super) fn parse(text: &str) -> Result<Regex, Invalid> {
    if text.is_empty() {
        return Err(Invalid);
    }
    let mut written = String::new();
    let mut rest = text.chars().peekable();
    while let Some(one) = rest.next() {
        match one {
            '\\' => {
                let escaped = rest.next().ok_or(Invalid)?;
                written.push('\\');
                written.push(escaped);
                match escaped {
                    'd' | 'D' | 's' | 'S' | 'w' | 'W' => {}
                    'x' => {
                        for _ in 0..2 {
                            let digit = rest.next().filter(char::is_ascii_hexdigit);
                            written.push(digit.ok_or(Invalid)?);
                        }
                    }
                    other if OPERATORS.contains(other) || "\\-/".contains(other) => {
                        // The engine does not know an escaped slash.
                        if other == '/' {
                            written.truncate(written.len() - 2);
                            written.push('/');
                        }
                    }
                    _ => return Err(Invalid),
                }
            }
            // `{,n}` is `{0,n}`.
            '{' if rest.peek() == Some(&',') => written.push_str("{0"),
            // `&&` and `~~` cannot come; `--` in a class and a class in a class would mean other
            // things to the engine.
            one if one.is_ascii_alphanumeric()
                || SYMBOLS.contains(one)
                || OPERATORS.contains(one) =>
            {
                written.push(one);
            }
            _ => return Err(Invalid),
        }
    }
    let mut builder = RegexBuilder::new(&written);
    builder.unicode(false).size_limit(SIZE_MAX).build().map_err(|_| Invalid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_subset() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(parse(pattern).unwrap().is_match(text.as_bytes()), expected, "{pattern}");
        };
        check(r"^\d{3}$", "404", true);
        check(r"a{,2}b", "b", true);
        check(r"\x28x\x29", "f(x)", true);
        check(r"[a-f]+|z", "z", true);
        check(r"a\/b", "a/b", true);
        check(r"\.", "a", false);
        for wrong in ["", "(a)", "é", r"\b", "a!", r"\", r"\x2", "a{2", "[a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
