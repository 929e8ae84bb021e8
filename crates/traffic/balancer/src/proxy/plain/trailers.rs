//! What comes behind the chunks of a target's answer, for clients who do not get the chunks themselves.

use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Header, Status};

use super::reply::Wrong;
use crate::proxy::headers::BETWEEN_TWO;

/// Most bytes that are kept: as heads of answers.
const TEXT_MAX: usize = 64 * 1024;
/// Most trailers.
const TRAILERS_MAX: usize = 100;
/// The line that ends all of them.
const LAST_LINE: &[u8] = b"\r\n";

/// Lines behind the last chunk, as they come.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Trailers {
    text: Vec<u8>,
}

impl Trailers {
    /// Whether there is no line but the last.
    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.text.len() <= LAST_LINE.len()
    }

    /// A byte more.
    pub(super) fn push(&mut self, byte: u8) {
        // One more than may be shows that there were too many.
        if self.text.len() <= TEXT_MAX {
            self.text.push(byte);
        }
    }

    /// # Errors
    /// [`Wrong`] if they are longer than what is kept.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if self.text.len() > TEXT_MAX { Err(Wrong) } else { Ok(()) }
    }

    /// Tells of those that may go on to a client, once all are there. Lines that are none may be dropped
    /// by whoever passes them on (RFC 9110, 6.5.1), and are.
    pub(in crate::proxy) fn each(&self, mut tell: impl FnMut(&str, &[u8])) {
        let mut room = [EMPTY_HEADER; TRAILERS_MAX];
        let Ok(Status::Complete((_, trailers))) = httparse::parse_headers(&self.text, &mut room)
        else {
            return;
        };
        for Header { name, value } in trailers.iter().filter(|one| goes_on(one.name)) {
            tell(name, value);
        }
    }

    /// The same as the library has them; none if there are none.
    pub(super) fn map(&self) -> Option<HeaderMap> {
        let mut map = HeaderMap::new();
        self.each(|name, value| {
            let (name, value) = (HeaderName::try_from(name), HeaderValue::from_bytes(value));
            // The parser has taken both.
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        });
        Some(map).filter(|map| !map.is_empty())
    }
}

/// Whether a trailer of this name is for clients: not what is between two neighbours, nor a length.
pub(in crate::proxy) fn goes_on(name: &str) -> bool {
    let is = |known: &&str| name.eq_ignore_ascii_case(known);
    !["connection", "content-length"].iter().chain(&BETWEEN_TWO).any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let mut trailers = Trailers::default();
        text.bytes().for_each(|byte| trailers.push(byte));
        let mut told = Vec::new();
        trailers.each(|name, value| told.push(format!("{name}={}", value.escape_ascii())));
        let in_map = trailers.map().map_or(0, |map| map.len());
        assert_eq!(in_map, told.len());
        told
    }

    #[test]
    fn what_may_go_on_is_told() {
        assert_eq!(told("X-A: 1\r\nx-a:2 \r\n\r\n"), ["X-A=1", "x-a=2"]);
        for none in [
            "",
            "\r\n",
            "Connection: X-A\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nTE: a\r\n\r\n",
            "no trailer\r\n\r\n",
            "X-A: 1\r\n",
            "X-A: \u{0}\r\n\r\n",
        ] {
            assert!(told(none).is_empty(), "{none:?}");
        }
        assert!(told(&format!("{}\r\n", "a: b\r\n".repeat(TRAILERS_MAX + 1))).is_empty());
    }

    #[test]
    fn too_many_are_wrong() {
        let mut trailers = Trailers::default();
        (0..TEXT_MAX).for_each(|_| trailers.push(b'a'));
        assert_eq!(trailers.check(), Ok(()));
        (0..TEXT_MAX).for_each(|_| trailers.push(b'a'));
        assert_eq!(trailers.check(), Err(Wrong));
        assert_eq!(trailers.text.len(), TEXT_MAX + 1);
    }
}
