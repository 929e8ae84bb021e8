//! Writes lists of headers for a client.
//!
//! Without a table of what was said before, and without Huffman's code: what answers say is short, and
//! what it takes to pack it costs more than the bytes (docs/decisions/0122).

use super::integer;
use super::table::STATIC;

/// The number of `:status: 200` in the static table; those of the other statuses follow.
const STATUS: usize = 8;
/// The statuses of the static table.
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// A list of headers that is written behind what there is.
#[derive(Debug)]
pub struct Block<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Block<'a> {
    /// An empty one.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// The table of a client that allows less than 4,096 bytes: it keeps nothing (RFC 7541, 4.2).
    pub fn keep_nothing(&mut self) {
        self.out.push(0x20);
    }

    /// The status of an answer, of three digits; it comes first.
    pub fn status(&mut self, status: u16) {
        if let Some(at) = STATUSES.iter().position(|known| *known == status) {
            return self.out.push(0x80 | (STATUS + at) as u8);
        }
        let digit = |at: u16| b'0' + (status / at % 10) as u8;
        self.out.extend_from_slice(&[STATUS as u8, 3, digit(100), digit(10), digit(1)]);
    }

    /// One field more. Its name is written in small letters.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        match number(name) {
            Some(number) => integer::write(self.out, 0, 4, number),
            None => {
                self.out.push(0);
                integer::write(self.out, 0, 7, name.len());
                let begin = self.out.len();
                self.out.extend_from_slice(name);
                self.out[begin..].make_ascii_lowercase();
            }
        }
        integer::write(self.out, 0, 7, value.len());
        self.out.extend_from_slice(value);
    }
}

/// The number of a name in the static table.
fn number(name: &[u8]) -> Option<usize> {
    let first = (*name.first()? | 0x20, name.len());
    let number = match first {
        (b'a', 3) => 21,
        (b'a', 5) => 22,
        (b'a', 13) => 18,
        (b'a', 27) => 20,
        (b'c', 13) => 24,
        (b'c', 19) => 25,
        (b'c', 16) if name[8] | 0x20 == b'e' => 26,
        (b'c', 16) => 27,
        (b'c', 14) => 28,
        (b'c', 12) => 31,
        (b'd', 4) => 33,
        (b'e', 4) => 34,
        (b'e', 7) => 36,
        (b'l', 13) => 44,
        (b'l', 4) => 45,
        (b'l', 8) => 46,
        (b'r', 11) => 53,
        (b's', 6) => 54,
        (b's', 10) => 55,
        (b's', 25) => 56,
        (b'v', 4) => 59,
        (b'v', 3) => 60,
        (b'w', 16) => 61,
        _ => return None,
    };
    name.eq_ignore_ascii_case(STATIC[number - 1].0.as_bytes()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_answers_have_numbers() {
        let of_answers = [
            "age",
            "allow",
            "accept-ranges",
            "access-control-allow-origin",
            "cache-control",
            "content-disposition",
            "content-encoding",
            "content-language",
            "content-length",
            "content-type",
            "date",
            "etag",
            "expires",
            "last-modified",
            "link",
            "location",
            "retry-after",
            "server",
            "set-cookie",
            "strict-transport-security",
            "vary",
            "via",
            "www-authenticate",
        ];
        for name in of_answers {
            let at = STATIC.iter().position(|(known, _)| *known == name).expect("it is known");
            assert_eq!(number(name.as_bytes()), Some(at + 1), "{name}");
            assert_eq!(number(name.to_ascii_uppercase().as_bytes()), Some(at + 1), "{name}");
        }
        for (known, _) in STATIC {
            let found = number(known.as_bytes());
            assert!(found.is_none_or(|number| STATIC[number - 1].0 == known), "{known}");
        }
        assert_eq!((number(b""), number(b"x-age"), number(b"vim")), (None, None, None));
    }

    #[test]
    fn statuses_are_short() {
        let mut out = Vec::new();
        let mut block = Block::new(&mut out);
        block.status(200);
        block.status(503);
        block.field(b"X-Mine", b"1");
        assert_eq!(out, b"\x88\x08\x03503\x00\x06x-mine\x011");
    }
}
