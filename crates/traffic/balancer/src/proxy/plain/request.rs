//! Requests of the usual kind: what they ask for, and how they go on to a target.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::config::{Forwarded, Speaks};
use crate::listening::{Deed, Plan};
use crate::proxy::headers::{OURS, without_port, write_told_host};
use crate::proxy::log::{Came, Entry};
use crate::proxy::{Client, FORWARDED_MAX, Noted, choose, trace};
use crate::rules::{Fields, Seen};
use crate::targets::GroupState;

/// Methods of the usual kind.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"];
/// Those that change nothing (RFC 9110, 9.2.1).
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// Longest head, in bytes.
pub(super) const HEAD_MAX: usize = 8 * 1024;
/// Most headers.
const HEADERS_MAX: usize = 64;
/// Most digits of a body's length.
const LENGTH_DIGITS: usize = 9;
/// Room for headers at first.
const HEADERS_USUAL: usize = 12;

/// A request as it came: whole, each byte of its head beyond doubt.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Asked<'a> {
    method: &'a str,
    /// Path and query.
    target: &'a str,
    host: &'a str,
    /// All headers, and by their numbers whether each goes on as it came.
    lines: Vec<(&'a str, &'a str)>,
    goes_on: u64,
    forwarded_for: Option<&'a str>,
    trace: Option<&'a str>,
    /// The length of its body, if it is told.
    content_length: Option<usize>,
    /// The length of its head, in bytes.
    head: usize,
    body: &'a [u8],
    /// Whether it came over HTTP/2: its names are in small letters, its cookies may be in parts.
    is_modern: bool,
    cookies: usize,
}

/// What is done with a header.
enum Fate {
    /// It goes on as it came.
    GoesOn,
    /// It is between two neighbours only, or told anew.
    Stays,
    /// It means something that needs more than this.
    Special,
}

impl<'a> Asked<'a> {
    /// The request that these bytes begin with; none if it is not whole, or not of the usual kind.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = &bytes[..bytes.len().min(HEAD_MAX)];
        let (method, line) = line(&mut rest)?.split_once(' ')?;
        let target = line.strip_suffix(" HTTP/1.1")?;
        let is_usual = METHODS.contains(&method) && target.starts_with('/');
        if !is_usual || !target.bytes().all(is_of_target) {
            return None;
        }
        let lines = Vec::with_capacity(HEADERS_USUAL);
        let mut asked = Self { method, target, lines, ..Self::default() };
        loop {
            let line = self::line(&mut rest)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || !name.bytes().all(is_usual) || asked.lines.len() == HEADERS_MAX {
                return None;
            }
            asked.take(name, value.trim_matches(' '))?;
        }
        if asked.host.is_empty() {
            return None;
        }
        asked.head = bytes.len().min(HEAD_MAX) - rest.len();
        asked.body = bytes[asked.head..].get(..asked.content_length.unwrap_or(0))?;
        Some(asked)
    }

    /// The length of it all, in bytes.
    pub(super) fn length(&self) -> usize {
        self.head + self.body.len()
    }

    /// Whether it may be sent twice: it has no body and changes nothing.
    pub(in crate::proxy) fn is_safe(&self) -> bool {
        self.body.is_empty() && SAFE.contains(&self.method)
    }

    /// Whether its answer has a head alone.
    pub(in crate::proxy) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// What is written down of it, if anything is.
    pub(in crate::proxy) fn entry(&self, plan: &Plan, client: &Client) -> Noted {
        let agent = self.lines.iter().find(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
        let agent = agent.map(|(_, value)| value.as_bytes());
        let line = (self.method, self.host, self.target);
        let came = match self.is_modern {
            true => Came::Fields(self.lines.iter().map(|(name, value)| (name.len(), value.len()))),
            false => Came::Whole(self.length()),
        };
        Entry::of_usual(line, agent, came, (client, plan))
    }

    /// The request of a stream of HTTP/2 by its method, target and host, and its headers; none if it
    /// is not of the usual kind. It has no body.
    pub(in crate::proxy) fn of_stream(
        (method, target, host): (&'a [u8], &'a [u8], &'a [u8]),
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Self> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (method, target, host) = (text(method)?, text(target)?, text(host)?);
        let is_usual = METHODS.contains(&method) && target.starts_with('/') && !host.is_empty();
        if !is_usual || !target.bytes().all(is_of_target) || !host.bytes().all(is_of_host) {
            return None;
        }
        let lines = Vec::with_capacity(HEADERS_USUAL);
        let mut asked = Self { method, target, host, lines, is_modern: true, ..Self::default() };
        for (name, value) in fields {
            let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
            let is_whole =
                name.iter().all(is_usual) && value.iter().all(|byte| is_printable(*byte));
            if name.is_empty() || !is_whole || asked.lines.len() == HEADERS_MAX {
                return None;
            }
            let (name, value) = (text(name)?, text(value)?);
            let is_grpc = name == "content-type" && value.starts_with("application/grpc");
            if is_grpc || name == "content-length" {
                return None;
            }
            asked.take(name, value)?;
        }
        Some(asked)
    }

    fn take(&mut self, name: &'a str, value: &'a str) -> Option<()> {
        match self.fate(name, value) {
            Fate::GoesOn => self.goes_on |= 1 << self.lines.len(),
            Fate::Stays => {}
            Fate::Special => return None,
        }
        self.lines.push((name, value));
        Some(())
    }

    fn fate(&mut self, name: &'a str, value: &'a str) -> Fate {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let begins = |known: &&str| {
            name.as_bytes()
                .get(..known.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(known.as_bytes()))
        };
        let once = |place: &mut Option<&'a str>| match place.replace(value) {
            None => Fate::Stays,
            Some(_) => Fate::Special,
        };
        match name.as_bytes()[0] | 0x20 {
            b'h' if is("host") => match self.host.is_empty() && !value.is_empty() {
                true => {
                    self.host = value;
                    Fate::Stays
                }
                false => Fate::Special,
            },
            b'c' if is("connection") => match value.eq_ignore_ascii_case("keep-alive") {
                true => Fate::Stays,
                false => Fate::Special,
            },
            b'c' if is("content-length") => self.content_length(value),
            b'c' if self.is_modern && name == "cookie" => {
                self.cookies += 1;
                Fate::GoesOn
            }
            b't' if is("transfer-encoding") => Fate::Special,
            b'u' if is("upgrade") => Fate::Special,
            b'e' if is("expect") => Fate::Special,
            b't' if is("te") => Fate::Stays,
            b'k' if is("keep-alive") => Fate::Stays,
            b'p' if is("proxy-connection") => Fate::Stays,
            b'x' if is("x-forwarded-for") => match value.split(',').count() > FORWARDED_MAX {
                true => Fate::Special,
                false => once(&mut self.forwarded_for),
            },
            b'x' if is("x-forwarded-proto") || is("x-forwarded-port") => Fate::Stays,
            b'x' if is("x-amzn-trace-id") => once(&mut self.trace),
            b'x' if OURS.iter().any(begins) => Fate::Stays,
            _ => Fate::GoesOn,
        }
    }

    /// Of GET and HEAD nobody knows what a body means.
    fn content_length(&mut self, value: &str) -> Fate {
        let is_number = value.len() <= LENGTH_DIGITS && value.bytes().all(|b| b.is_ascii_digit());
        let has_body = !["GET", "HEAD"].contains(&self.method);
        let length = value.parse().ok().filter(|_| is_number && has_body);
        match (length, self.content_length) {
            (Some(length), None) => {
                self.content_length = Some(length);
                Fate::GoesOn
            }
            _ => Fate::Special,
        }
    }

    /// The rule's priority, 0 for the default one, and the group that it goes to; none if that is not
    /// of the usual kind.
    pub(in crate::proxy) fn group<'p>(
        &self,
        plan: &'p Plan,
        client: &Client,
    ) -> Option<(u32, &'p Arc<GroupState>)> {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let seen = Seen::new(
            (self.method, without_port(self.host)),
            (path, query),
            (Fields::Lines(&self.lines), client.peer.ip()),
        );
        let rule = plan.rules.find(&seen);
        let (priority, deed) = rule.map_or((0, &plan.default), |rule| (rule.priority, &rule.deed));
        let Deed::Forward(weighted, None) = deed else { return None };
        let is_usual = |group: &GroupState| {
            let is_sticky = group.sticky().or(group.app_sticky()).is_some();
            group.speaks() == Speaks::Http1 && !group.is_secure() && !is_sticky
        };
        let all_are = weighted.iter().all(|(group, _)| is_usual(group));
        Some((priority, all_are.then(|| choose(weighted)).flatten()?))
    }

    /// Writes the headers that go on as they came.
    fn write_lines(&self, out: &mut Vec<u8>) {
        let mut has_cookies = false;
        for (number, (name, value)) in self.lines.iter().enumerate() {
            if self.goes_on & (1 << number) == 0 {
                continue;
            }
            if !self.is_modern {
                push(out, &["\r\n", name, ": ", value]);
                continue;
            }
            // Parts of cookies are one header for targets (RFC 9113, 8.2.3).
            let is_part = self.cookies > 1 && *name == "cookie";
            if is_part && has_cookies {
                continue;
            }
            push(out, &["\r\n"]);
            title(out, name);
            push(out, &[": ", value]);
            if is_part {
                has_cookies = true;
                let more = self.lines[number + 1..].iter().filter(|(name, _)| *name == "cookie");
                more.for_each(|(_, value)| push(out, &["; ", value]));
            }
        }
    }

    /// Writes what goes to the target. Gives where in it stands what it is traced by.
    pub(in crate::proxy) fn write(
        &self,
        out: &mut Vec<u8>,
        plan: &Plan,
        client: &Client,
    ) -> Range<usize> {
        let settings = &plan.settings;
        push(out, &[self.method, " ", self.target, " HTTP/1.1\r\nHost: "]);
        match settings.preserve_host {
            true => push(out, &[self.host]),
            false => write_told_host(out, self.host, plan.port),
        }
        self.write_lines(out);
        let came = self.forwarded_for;
        // Writing to a buffer cannot fail.
        let _ = match settings.forwarded {
            Forwarded::Remove => Ok(()),
            Forwarded::Preserve => {
                came.map_or(Ok(()), |came| write!(out, "\r\nX-Forwarded-For: {came}"))
            }
            Forwarded::Append => {
                let (came, comma) = came.map_or(("", ""), |came| (came, ", "));
                push(out, &["\r\nX-Forwarded-For: ", came, comma]);
                match settings.client_port {
                    true => write!(out, "{}", client.peer),
                    false => write!(out, "{}", client.peer.ip()),
                }
            }
        };
        push(out, &["\r\nX-Forwarded-Proto: ", client.scheme(), "\r\nX-Forwarded-Port: "]);
        let _ = write!(out, "{}", plan.port);
        if let Some((version, cipher)) = client.tls.filter(|_| settings.tells_tls) {
            push(out, &["\r\nX-Amzn-Tls-Version: ", version]);
            push(out, &["\r\nX-Amzn-Tls-Cipher-Suite: ", cipher]);
        }
        push(out, &["\r\nX-Amzn-Trace-Id: "]);
        let begin = out.len();
        trace::write_next(out, self.trace, plan.clock.now().seconds());
        let traced = begin..out.len();
        push(out, &["\r\n\r\n"]);
        out.extend_from_slice(self.body);
        traced
    }
}

/// The text up to the next end of a line, if there is nothing else in it; `rest` is what comes behind.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|byte| !is_printable(*byte))?;
    let (line, more) = rest.split_at(end);
    *rest = more.strip_prefix(b"\r\n")?;
    std::str::from_utf8(line).ok()
}

/// What a line of the usual kind has: visible ASCII, and spaces.
fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// What a path and a query have that nobody reads in two ways.
fn is_of_target(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/?-._~%!$&'()*+,;=:@".contains(&byte)
}

/// What a host has that nobody reads in two ways.
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)
}

/// A name as people write it.
pub(super) fn title(out: &mut Vec<u8>, name: &str) {
    let mut begins = true;
    for byte in name.bytes() {
        out.push(if begins { byte.to_ascii_uppercase() } else { byte });
        begins = byte == b'-';
    }
}

fn push(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::desync::{Class, Framing, judge};

    fn is_usual(text: &str) -> bool {
        Asked::read(text.as_bytes()).is_some()
    }

    #[test]
    fn the_usual_is_taken_and_nothing_else() {
        for usual in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a?b=%20 HTTP/1.1\r\nhost:a\r\nAccept: */*\r\nConnection: Keep-Alive\r\n\r\nrest",
            "HEAD / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: b, c\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(is_usual(usual), "{usual:?}");
        }
        for other in [
            "",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\" HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX_Y: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
            "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(!is_usual(other), "{other:?}");
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[A-Za-z-]{1,6}: [ -~]{0,6}\r\n",
            2 => Just("Host: a\r\n".to_owned()),
            1 => "(Content-Length|content-length|Content_Length): ?[0-9+ ]{0,2}\r\n",
            1 => "(Transfer-Encoding|TE|Upgrade|Connection|Expect): ?(chunked|close|h2c|keep-alive)\r\n",
            1 => "[ -~\r\n\t\u{0}\u{7f}\u{e9}]{0,6}\r?\n",
        ]
    }

    proptest! {
        #[test]
        fn the_usual_means_one_thing(
            line in "(GET|POST|HEAD|PUT) /[a-c?%\"# ]{0,3} HTTP/1.[01]\r?\n",
            pieces in prop::collection::vec(piece(), 0..5),
            body in "(\r\n|\n)[a-z]{0,3}",
        ) {
            let text = format!("{line}Host: a\r\n{}{body}", pieces.concat());
            let bytes = text.as_bytes();
            if let Some(asked) = Asked::read(bytes) {
                let judged = judge(&bytes[..asked.head]);
                prop_assert_eq!((judged.class, judged.rewritten), (Class::Compliant, None));
                let length = u64::try_from(asked.body.len()).expect("it is short");
                prop_assert_eq!(judged.framing, Framing::Length(length));
                let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
                let mut parsed = httparse::Request::new(&mut headers);
                let status = parsed.parse(bytes).expect("it is a request");
                prop_assert_eq!(status, httparse::Status::Complete(asked.head));
                let same = parsed.headers.iter().map(|one| (one.name, one.value));
                let read = asked.lines.iter().map(|(name, value)| (*name, value.as_bytes()));
                prop_assert!(same.eq(read));
                prop_assert_eq!(parsed.path, Some(asked.target));
            }
        }
    }
}
