//! The form of lines and of a file's first one.
//!
//! A line is `HASH NUMBER RECORD`: the hash is the SHA-256 of the hash before, as bytes, and of
//! `NUMBER RECORD`, in hexadecimal digits. A file begins with `longshore-trail 1 NUMBER HASH`: the number
//! of its first line and the hash before it. So a file proves itself with `sha256sum` and patience.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// What files begin with; the number is the form's version.
const HEADING: &str = "longshore-trail 1";

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// Where the chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the next line.
    pub(crate) next: u64,
    /// The hash of the line before; zeros before the first.
    pub(crate) hash: Hash,
}

impl Head {
    /// Before the first line.
    pub(crate) const BEGINNING: Self = Self { next: 1, hash: [0; 32] };

    fn hash_of(&self, number: u64, record: &str) -> Hash {
        let mut digest = Sha256::new();
        digest.update(self.hash);
        digest.update(format!("{number} {record}").as_bytes());
        digest.finalize().into()
    }

    /// Appends the next line to `out`.
    pub(crate) fn write(&mut self, record: &str, out: &mut String) {
        let hash = self.hash_of(self.next, record);
        out.push_str(&format!("{} {} {record}\n", HEXLOWER.encode(&hash), self.next));
        *self = Self { next: self.next + 1, hash };
    }

    /// Goes on over a line that was read.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn follow<'a>(&mut self, line: &'a str) -> Result<&'a str, String> {
        let (hash, number, record) = parts(line).ok_or("it is no line of a trail")?;
        if number != self.next {
            return Err(format!("it has the number {number}, where {} is next", self.next));
        }
        let expected = self.hash_of(number, record);
        if hash != expected {
            return Err(format!("its hash is not that of line {number} and all before it"));
        }
        *self = Self { next: number + 1, hash };
        Ok(record)
    }

    /// The first line of a file that goes on from here.
    pub(crate) fn heading(&self) -> String {
        format!("{HEADING} {} {}\n", self.next, HEXLOWER.encode(&self.hash))
    }

    /// Where a file goes on from.
    pub(crate) fn of_heading(line: &str) -> Option<Self> {
        let (number, hash) = line.strip_prefix(HEADING)?.trim().split_once(' ')?;
        let hash = HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { next: number.parse().ok()?, hash })
    }
}

/// Hash, number and record of a line.
pub(crate) fn parts(line: &str) -> Option<(Hash, u64, &str)> {
    let (hash, rest) = line.split_once(' ')?;
    let (number, record) = rest.split_once(' ')?;
    let hash = HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?;
    Some((hash, number.parse().ok()?, record))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_follows_itself_and_nothing_else() {
        let (mut head, mut text) = (Head::BEGINNING, String::new());
        for record in ["{}", "{\"a\":1}", "{\"b\":\" \"}"] {
            head.write(record, &mut text);
        }
        let lines: Vec<&str> = text.lines().collect();
        let follow = |lines: &[&str]| {
            let mut read = Head::BEGINNING;
            lines.iter().try_for_each(|line| read.follow(line).map(|_| ())).map(|()| read)
        };
        assert_eq!(follow(&lines), Ok(head));
        assert!(follow(&[lines[1]]).is_err(), "the first is gone");
        assert!(follow(&[lines[0], lines[2]]).is_err(), "one is gone");
        let changed = lines[1].replace("\"a\":1", "\"a\":2");
        assert!(follow(&[lines[0], &changed]).is_err());
        assert!(follow(&["", lines[0]]).is_err());
        assert_eq!(Head::of_heading(&head.heading()), Some(head));
        assert_eq!(Head::of_heading("longshore-trail 2 1 00"), None);
    }
}
