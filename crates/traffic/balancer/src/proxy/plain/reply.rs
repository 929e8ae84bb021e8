//! Answers of targets: where they end, and how they go on to a client.

use std::mem::MaybeUninit;

use http::{HeaderName, HeaderValue};
use httparse::{Header, ParserConfig, Response, Status};

use super::trailers::Trailers;
use crate::proxy::desync::Chunks;
use crate::proxy::headers::BETWEEN_TWO;

/// Largest head of an answer (Application Load Balancer guide, "Quotas"), in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Most headers.
const HEADERS_MAX: usize = 100;

/// How an answer's body ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Framing {
    /// After so many bytes more.
    Length(u64),
    /// In chunks, which go on as they are.
    Chunked(Chunks),
    /// With the connection; a client gets it in chunks.
    Close,
}

/// What is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Wrong;

/// An answer whose head has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Reply {
    /// The length of its head, with those of interim answers before it, in bytes.
    pub(in crate::proxy) length: usize,
    pub(in crate::proxy) status: u16,
    pub(in crate::proxy) framing: Framing,
    /// Whether the target keeps the connection behind it.
    pub(in crate::proxy) keeps: bool,
    /// Whether the client's connection ends with it.
    pub(in crate::proxy) ends: bool,
}

/// What a client is told beside what the target said.
pub(in crate::proxy) struct Told<'a> {
    /// `Date`, if the target says none.
    pub(in crate::proxy) date: &'a str,
    /// Whether the client wants no body.
    pub(in crate::proxy) is_head: bool,
    /// Whether the client's connection ends.
    pub(in crate::proxy) ends: bool,
}

/// What an answer's head is written to.
pub(in crate::proxy) trait Sink {
    /// Whether it goes to a client of HTTP/1.1, who is told of framing, too.
    const IS_HTTP1: bool;
    /// Begins anew.
    fn begin(&mut self, status: u16, reason: &str);
    /// One header more.
    fn header(&mut self, name: &str, value: &[u8]);
    /// The date, if the target said none.
    fn date(&mut self, date: &str);
}

impl Sink for Vec<u8> {
    const IS_HTTP1: bool = true;

    fn date(&mut self, date: &str) {
        self.header("Date", date.as_bytes());
    }

    fn begin(&mut self, status: u16, reason: &str) {
        self.clear();
        self.extend_from_slice(b"HTTP/1.1 ");
        self.extend(digits(status));
        self.push(b' ');
        self.extend_from_slice(reason.as_bytes());
        self.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        self.extend_from_slice(value);
        self.extend_from_slice(b"\r\n");
    }
}

impl Sink for http::Response<()> {
    const IS_HTTP1: bool = false;

    /// Whoever sends it says it.
    fn date(&mut self, _: &str) {}

    fn begin(&mut self, status: u16, _: &str) {
        *self.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        self.headers_mut().clear();
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        let (name, value) = (HeaderName::try_from(name), HeaderValue::from_bytes(value));
        // The parser has taken both.
        if let (Ok(name), Ok(value)) = (name, value) {
            self.headers_mut().append(name, value);
        }
    }
}

/// What headers say of the message itself.
#[derive(Default)]
struct Marks<'a> {
    length: Option<u64>,
    is_chunked: bool,
    has_date: bool,
    closes: bool,
    keeps: bool,
    /// What is between the target and us by its own word.
    named: Vec<&'a str>,
}

impl Reply {
    /// The answer that these bytes begin with, if its head is whole; then `out` is the head that the
    /// client gets, without the empty line behind it.
    ///
    /// # Errors
    /// [`Wrong`] if it is none, or if it can be read in two ways.
    pub(in crate::proxy) fn read(
        bytes: &[u8],
        out: &mut impl Sink,
        told: &Told<'_>,
    ) -> Result<Option<Self>, Wrong> {
        let mut begin = 0;
        loop {
            let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS_MAX];
            let mut head = Response::new(&mut []);
            let config = ParserConfig::default();
            let parsed =
                config.parse_response_with_uninit_headers(&mut head, &bytes[begin..], &mut headers);
            let length = match parsed {
                Ok(Status::Complete(length)) if begin + length <= HEAD_MAX => begin + length,
                Ok(Status::Partial) if bytes.len() <= HEAD_MAX => return Ok(None),
                _ => return Err(Wrong),
            };
            match head.code.ok_or(Wrong)? {
                // Nobody asked for another protocol.
                101 => return Err(Wrong),
                100..=199 => begin = length,
                200..=999 => return Self::whole(&head, length, out, told).map(Some),
                _ => return Err(Wrong),
            }
        }
    }

    fn whole<S: Sink>(
        head: &Response<'_, '_>,
        length: usize,
        out: &mut S,
        told: &Told<'_>,
    ) -> Result<Self, Wrong> {
        let (status, is_old) = (head.code.unwrap_or_default(), head.version == Some(0));
        let marks = Marks::of(head.headers, is_old)?;
        let has_none = told.is_head || matches!(status, 204 | 304);
        let framing = match marks.length {
            _ if has_none => Framing::Length(0),
            _ if marks.is_chunked => Framing::Chunked(Chunks::new()),
            Some(length) => Framing::Length(length),
            None => Framing::Close,
        };
        out.begin(status, head.reason.unwrap_or_default());
        for header in head.headers.iter() {
            if !marks.is_for_us(header.name) {
                out.header(header.name, header.value);
            }
        }
        if let Some(length) = marks.length.filter(|_| !marks.is_chunked && status != 204) {
            let mut digits = [0; 20];
            out.header("Content-Length", decimal(length, &mut digits));
        }
        if S::IS_HTTP1 && matches!(framing, Framing::Chunked(_) | Framing::Close) {
            out.header("Transfer-Encoding", b"chunked");
        }
        if !marks.has_date {
            out.date(told.date);
        }
        if S::IS_HTTP1 && told.ends {
            out.header("Connection", b"close");
        }
        let keeps = !marks.closes && (!is_old || marks.keeps) && framing != Framing::Close;
        Ok(Self { length, status, framing, keeps, ends: told.ends })
    }
}

impl<'a> Marks<'a> {
    fn of(headers: &[Header<'a>], is_old: bool) -> Result<Self, Wrong> {
        let mut marks = Self::default();
        for header in headers {
            let is = |known: &str| header.name.eq_ignore_ascii_case(known);
            match header.name.len() {
                4 if is("date") => marks.has_date = true,
                10 if is("connection") => marks.connection(header.value),
                14 if is("content-length") => {
                    let length = number(header.value).ok_or(Wrong)?;
                    if marks.length.replace(length).is_some_and(|before| before != length) {
                        return Err(Wrong);
                    }
                }
                17 if is("transfer-encoding") => {
                    let is_chunked = header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    if !is_chunked || marks.is_chunked || is_old {
                        return Err(Wrong);
                    }
                    marks.is_chunked = true;
                }
                _ => {}
            }
        }
        Ok(marks)
    }

    /// Whether a header of this name is between the target and us.
    fn is_for_us(&self, name: &str) -> bool {
        let is = |known: &&str| name.eq_ignore_ascii_case(known);
        let of_usual = match name.len() {
            14 => is(&"content-length"),
            10 if is(&"connection") => true,
            2 | 7 | 10 | 16 | 17 => BETWEEN_TWO.iter().any(is),
            _ => false,
        };
        of_usual || self.named.iter().any(is)
    }

    fn connection(&mut self, value: &'a [u8]) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case("close") {
                self.closes = true;
            } else if name.eq_ignore_ascii_case("keep-alive") {
                self.keeps = true;
            } else {
                self.named.push(name);
            }
        }
    }
}

impl Framing {
    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// [`Wrong`] if they are none.
    pub(in crate::proxy) fn take(&mut self, bytes: &[u8]) -> Result<usize, Wrong> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                Ok(here)
            }
            Self::Chunked(chunks) => chunks.take(bytes).map_err(|_| Wrong),
            Self::Close => Ok(bytes.len()),
        }
    }

    /// The same; what is neither the chunks' own nor behind the body goes to `data`, what follows the
    /// last chunk to `trailers`.
    ///
    /// # Errors
    /// [`Wrong`] if they are none, or if there are too many trailers.
    pub(in crate::proxy) fn data(
        &mut self,
        bytes: &[u8],
        data: &mut Vec<u8>,
        trailers: &mut Trailers,
    ) -> Result<usize, Wrong> {
        if let Self::Chunked(chunks) = self {
            let data = |part: &[u8]| data.extend_from_slice(part);
            let taken = chunks.read(bytes, data, |byte| trailers.push(byte)).map_err(|_| Wrong)?;
            return trailers.check().map(|()| taken);
        }
        let taken = self.take(bytes)?;
        data.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Whether the body is whole.
    pub(in crate::proxy) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_over(),
            Self::Close => false,
        }
    }
}

/// A status of three digits.
fn digits(status: u16) -> [u8; 3] {
    let digit = |at: u16| b'0' + u8::try_from(status / at % 10).unwrap_or_default();
    [digit(100), digit(10), digit(1)]
}

/// A number, at the end of the room for its digits.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Digits and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: Told<'_> = Told { date: "today", is_head: false, ends: false };

    fn read(text: &str) -> Result<Option<(Reply, String)>, Wrong> {
        let mut out = Vec::new();
        let reply = Reply::read(text.as_bytes(), &mut out, &TOLD)?;
        Ok(reply.map(|reply| (reply, String::from_utf8(out).expect("text"))))
    }

    #[test]
    fn answers_are_framed_in_one_way() {
        let chunked = || Framing::Chunked(Chunks::new());
        for (head, framing, keeps) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", Framing::Length(3), true),
            ("HTTP/1.1 200\r\ncontent-length: 3\r\n", Framing::Length(3), true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n",
                Framing::Length(3),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n",
                Framing::Length(3),
                false,
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", Framing::Length(3), false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n",
                Framing::Length(3),
                true,
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", chunked(), true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                chunked(),
                true,
            ),
            ("HTTP/1.1 200 OK\r\n", Framing::Close, false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", Framing::Length(0), true),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n", Framing::Length(0), true),
            (
                "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n",
                Framing::Length(1),
                true,
            ),
        ] {
            let text = format!("{head}\r\n");
            let (reply, _) = read(&text).expect("an answer").expect("a whole head");
            assert_eq!(
                (reply.framing, reply.keeps, reply.length),
                (framing, keeps, text.len()),
                "{text:?}"
            );
            for end in 0..text.len() {
                assert_eq!(read(&text[..end]), Ok(None), "{:?}", &text[..end]);
            }
        }
        for wrong in [
            "nonsense\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        ] {
            assert_eq!(read(wrong), Err(Wrong), "{wrong:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD_MAX));
        assert_eq!(read(&long), Err(Wrong));
    }

    #[test]
    fn clients_are_told_what_is_for_them() {
        let head = "HTTP/1.1 200 Fine\r\nx-CaSe: kept\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n\
            Keep-Alive: timeout=5\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n";
        let (_, out) = read(head).expect("an answer").expect("a whole head");
        let told = "HTTP/1.1 200 Fine\r\nx-CaSe: kept\r\nContent-Length: 3\r\nDate: today\r\n";
        assert_eq!(out, told);
        let head = "HTTP/1.1 200 OK\r\nDate: then\r\n\r\n";
        let (_, out) = read(head).expect("an answer").expect("a whole head");
        assert_eq!(out, "HTTP/1.1 200 OK\r\nDate: then\r\nTransfer-Encoding: chunked\r\n");
        let mut out = Vec::new();
        let told = Told { is_head: true, ends: true, ..TOLD };
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        let reply = Reply::read(head, &mut out, &told).expect("an answer").expect("a whole head");
        assert!(reply.framing.is_over() && reply.ends);
        let told = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: today\r\nConnection: close\r\n";
        assert_eq!(out, told);
    }
}
