//! What a rule surely wants of a request's path and host: it leads to the few rules that may take a
//! request. A listener may have thousands of them.

use super::Ready;
use super::pattern::{Case, Matcher, Piece};

/// Bytes of a path that are looked at, and of a host.
const PATH: usize = 16;
const HOST: usize = 8;

/// The bytes that a text must begin with, where the mask is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    mask: u128,
    bytes: u128,
}

/// What a request must have for a rule to take it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    path: Head,
    host: Head,
}

/// The first bytes of a text, with nothing behind its end.
pub(super) fn head(text: &str, most: usize, case: Case) -> u128 {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(text.bytes().take(most)) {
        *to = match case {
            Case::Minded => from,
            Case::Ignored => from.to_ascii_lowercase(),
        };
    }
    u128::from_le_bytes(bytes)
}

/// The head of a request's path.
pub(super) fn of_path(path: &str) -> u128 {
    head(path, PATH, Case::Minded)
}

/// The head of a request's host.
pub(super) fn of_host(host: &str) -> u128 {
    head(host, HOST, Case::Ignored)
}

impl Head {
    /// What one of these wants at least.
    fn of(matchers: &[Matcher], most: usize) -> Self {
        let mut heads = matchers.iter().map(|matcher| Self::of_one(matcher, most));
        let first = heads.next().unwrap_or_default();
        heads.fold(first, |one, other| {
            let mask = one.mask & other.mask & !(one.bytes ^ other.bytes);
            // A byte counts as a whole or not at all.
            let mask = whole_bytes(mask);
            Self { mask, bytes: one.bytes & mask }
        })
    }

    fn of_one(matcher: &Matcher, most: usize) -> Self {
        let mut mask = [0; 16];
        let bytes = match matcher {
            // Nothing may come behind its end.
            Matcher::Exact(text, case) => {
                mask[..most].fill(0xff);
                head(text, most, *case)
            }
            Matcher::Glob(pieces, _) => {
                let mut bytes = [0; 16];
                for (at, piece) in pieces.iter().take(most).enumerate() {
                    let Piece::Byte(byte) = piece else { break };
                    (bytes[at], mask[at]) = (*byte, 0xff);
                }
                u128::from_le_bytes(bytes)
            }
            Matcher::Regex(_) => 0,
        };
        Self { mask: u128::from_le_bytes(mask), bytes }
    }

    fn both(self, other: Self) -> Self {
        match self.mask.count_ones() >= other.mask.count_ones() {
            true => self,
            false => other,
        }
    }
}

fn whole_bytes(mask: u128) -> u128 {
    let bytes = mask.to_le_bytes().map(|byte| if byte == 0xff { byte } else { 0 });
    u128::from_le_bytes(bytes)
}

impl Hint {
    /// What conditions want at least.
    pub(super) fn of(conditions: &[Ready]) -> Self {
        conditions.iter().fold(Self::default(), |hint, condition| match condition {
            Ready::Path(matchers) => {
                Self { path: hint.path.both(Head::of(matchers, PATH)), ..hint }
            }
            Ready::Host(matchers) => {
                Self { host: hint.host.both(Head::of(matchers, HOST)), ..hint }
            }
            _ => hint,
        })
    }

    /// The bytes of a path and of a host that matter.
    pub(super) fn masks(&self) -> (u128, u128) {
        (self.path.mask, self.host.mask)
    }

    /// What they must be; the others are zero.
    pub(super) fn bytes(&self) -> (u128, u128) {
        (self.path.bytes, self.host.bytes)
    }
}
