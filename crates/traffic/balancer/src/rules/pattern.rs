//! Patterns with wildcards, and regular expressions.

use regex::{Regex, RegexBuilder};

/// Whether small and capital letters differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Minded,
    Ignored,
}

/// A text that is compared with another.
#[derive(Debug)]
pub(crate) enum Matcher {
    /// No wildcard in it.
    Exact(String, Case),
    /// Pieces of a pattern, in lower case if case is ignored.
    Glob(Vec<Piece>, Case),
    Regex(Box<Regex>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Any,
}

impl Matcher {
    /// A pattern: `*` is any text, `?` any character; `\*` and `\?` are themselves.
    pub(crate) fn glob(text: &str, case: Case) -> Self {
        let mut pieces = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            pieces.push(match byte {
                b'*' => Piece::Any,
                b'?' => Piece::One,
                b'\\' => match bytes.next_if(|next| matches!(next, b'*' | b'?')) {
                    Some(next) => Piece::Byte(next),
                    None => Piece::Byte(b'\\'),
                },
                byte if case == Case::Ignored => Piece::Byte(byte.to_ascii_lowercase()),
                byte => Piece::Byte(byte),
            });
        }
        let byte = |piece: &Piece| match piece {
            Piece::Byte(byte) => Some(*byte),
            Piece::One | Piece::Any => None,
        };
        let plain: Option<Vec<u8>> = pieces.iter().map(byte).collect();
        match plain.and_then(|plain| String::from_utf8(plain).ok()) {
            Some(plain) => Self::Exact(plain, case),
            None => Self::Glob(pieces, case),
        }
    }

    /// A regular expression that may be found anywhere; `None` if it is none.
    pub(crate) fn regex(text: &str, case: Case) -> Option<Self> {
        let ignored = case == Case::Ignored;
        let regex = RegexBuilder::new(text).case_insensitive(ignored).build().ok()?;
        Some(Self::Regex(Box::new(regex)))
    }

    /// Whether `text` is what this means.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted, Case::Minded) => wanted == text,
            Self::Exact(wanted, Case::Ignored) => wanted.eq_ignore_ascii_case(text),
            Self::Glob(pieces, case) => glob(pieces, text.as_bytes(), *case),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// In time that is at most the product of both lengths: only the last `*` is ever tried again.
fn glob(pieces: &[Piece], text: &[u8], case: Case) -> bool {
    let (mut piece, mut byte) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while byte < text.len() {
        let found = match case {
            Case::Minded => text[byte],
            Case::Ignored => text[byte].to_ascii_lowercase(),
        };
        match pieces.get(piece) {
            Some(Piece::Any) => {
                again = Some((piece, byte));
                piece += 1;
            }
            Some(Piece::One) => (piece, byte) = (piece + 1, byte + 1),
            Some(Piece::Byte(wanted)) if *wanted == found => (piece, byte) = (piece + 1, byte + 1),
            _ => match &mut again {
                Some((star, from)) => {
                    *from += 1;
                    (piece, byte) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pieces[piece..].iter().all(|piece| *piece == Piece::Any)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same as [`glob`], as its definition has it.
    fn plain(pieces: &[Piece], text: &[u8]) -> bool {
        match (pieces, text) {
            ([], []) => true,
            ([Piece::Any, rest @ ..], _) => {
                plain(rest, text) || (!text.is_empty() && plain(pieces, &text[1..]))
            }
            ([Piece::One, rest @ ..], [_, more @ ..]) => plain(rest, more),
            ([Piece::Byte(wanted), rest @ ..], [found, more @ ..]) if wanted == found => {
                plain(rest, more)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_mean_what_they_say(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let piece = |byte| match byte {
                b'*' => Piece::Any,
                b'?' => Piece::One,
                byte => Piece::Byte(byte),
            };
            let pieces: Vec<Piece> = pattern.bytes().map(piece).collect();
            let expected = plain(&pieces, text.as_bytes());
            prop_assert_eq!(Matcher::glob(&pattern, Case::Minded).matches(&text), expected);
        }
    }
}
