//! Judges a request's head (aws/http-desync-guardian names the reasons; Application Load Balancer
//! guide, "Classification reasons").

use super::Class;

/// Longest request line, in bytes (Application Load Balancer guide, "Quotas").
pub(super) const REQUEST_LINE_MAX: usize = 16 * 1024;
/// Longest header, in bytes.
const HEADER_MAX: usize = 16 * 1024;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Framing {
    /// So many bytes; none if there is no body.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What a head is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Head {
    /// The worst that was found.
    pub(in crate::proxy) class: Class,
    /// Why.
    pub(in crate::proxy) reason: &'static str,
    /// What a refusal is answered with.
    pub(in crate::proxy) status: u16,
    pub(in crate::proxy) framing: Framing,
    /// Whether other bytes than HTTP may follow.
    pub(in crate::proxy) upgrades: bool,
    /// The head as it can be read in one way alone, if that is not how it came.
    pub(in crate::proxy) rewritten: Option<Vec<u8>>,
}

/// What is found while a head is read.
struct Findings {
    head: Head,
    has_length: bool,
    is_chunked: bool,
    /// The lines as they are to be, and whether they differ from what came.
    lines: Vec<Vec<u8>>,
    differs: bool,
}

impl Findings {
    fn note(&mut self, class: Class, reason: &'static str) {
        if class > self.head.class {
            (self.head.class, self.head.reason) = (class, reason);
        }
    }

    fn refuse(&mut self, reason: &'static str, status: u16) {
        self.note(Class::Severe, reason);
        if self.head.status == 400 {
            self.head.status = status;
        }
    }
}

/// Judges a head, which ends with its empty line.
pub(in crate::proxy) fn judge(bytes: &[u8]) -> Head {
    if let Some(head) = plain(bytes) {
        return head;
    }
    let head = Head {
        class: Class::Compliant,
        reason: "",
        status: 400,
        framing: Framing::Length(0),
        upgrades: false,
        rewritten: None,
    };
    let mut found =
        Findings { head, has_length: false, is_chunked: false, lines: Vec::new(), differs: false };
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| match line.strip_suffix(b"\r") {
        Some(line) => (line, true),
        None => (line, false),
    });
    let (mut method, mut is_old): (Vec<u8>, bool) = (Vec::new(), false);
    // Empty lines before a request are passed over (RFC 9112, 2.2).
    let first = lines.by_ref().find(|(line, _)| !line.is_empty());
    if let Some((line, has_cr)) = first {
        if !has_cr {
            bare(&mut found);
        }
        (method, is_old) = request_line(&mut found, line);
    }
    for (line, has_cr) in lines {
        if !has_cr {
            bare(&mut found);
        }
        if line.is_empty() {
            break;
        }
        header(&mut found, line, is_old);
    }
    framed(&mut found, &method);
    let Findings { mut head, lines, differs, .. } = found;
    if differs {
        let mut whole = lines.join(&b"\r\n"[..]);
        whole.extend_from_slice(b"\r\n\r\n");
        head.rewritten = Some(whole);
    }
    head
}

/// A head of the usual kind, about which nothing is to be said: GET without a body, known
/// characters. All others are looked at closely.
fn plain(bytes: &[u8]) -> Option<Head> {
    let rest = bytes.strip_prefix(b"GET ")?;
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    let uri = rest[..end].strip_suffix(b" HTTP/1.1")?;
    if uri.len() + 14 >= REQUEST_LINE_MAX || !uri.iter().all(u8::is_ascii_graphic) || uri.is_empty()
    {
        return None;
    }
    let mut rest = rest[end..].strip_prefix(b"\r\n")?;
    loop {
        if rest == b"\r\n" {
            return Some(Head {
                class: Class::Compliant,
                reason: "",
                status: 400,
                framing: Framing::Length(0),
                upgrades: false,
                rewritten: None,
            });
        }
        let end = rest.iter().position(|byte| *byte == b'\r')?;
        let colon = rest[..end].iter().position(|byte| *byte == b':')?;
        let (name, value) = (&rest[..colon], &rest[colon + 1..end]);
        let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let decides = matches!(name.len(), 14 | 17 | 7)
            && [&b"content-length"[..], b"transfer-encoding", b"upgrade"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
        let is_clean = value.iter().all(|byte| (b' '..=b'~').contains(byte));
        if name.is_empty()
            || decides
            || !is_clean
            || end >= HEADER_MAX
            || !name.iter().all(is_usual)
        {
            return None;
        }
        rest = rest[end..].strip_prefix(b"\r\n")?;
    }
}

fn bare(found: &mut Findings) {
    found.note(Class::Acceptable, "NonCompliantHeader");
    found.differs = true;
}

/// Gives the method, and whether it is HTTP/1.0.
fn request_line(found: &mut Findings, line: &[u8]) -> (Vec<u8>, bool) {
    if line.len() + 2 > REQUEST_LINE_MAX {
        found.refuse("BadUri", 414);
    }
    if line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        found.refuse("BadUri", 400);
    }
    let mut parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let method = parts.remove(0).to_vec();
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        found.refuse("BadMethod", 400);
    }
    let version = parts.pop().unwrap_or_default();
    let (told, is_old): (&[u8], bool) = match version {
        b"HTTP/1.1" => (version, false),
        b"HTTP/1.0" => (version, true),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {
            found.note(Class::Acceptable, "NonCompliantVersion");
            found.differs = true;
            (b"HTTP/1.1", false)
        }
        _ => {
            found.refuse("BadVersion", 400);
            (b"HTTP/1.1", false)
        }
    };
    let uri = parts.join(&b' ');
    if uri.is_empty() {
        found.refuse("BadUri", 400);
    }
    let mut written = Vec::with_capacity(uri.len());
    for byte in uri {
        let (class, reason) = match byte {
            b'!'..=b'~' => {
                written.push(byte);
                continue;
            }
            b' ' => (Class::Acceptable, "SpaceInUri"),
            0x80.. => (Class::Acceptable, "NonCompliantUri"),
            _ => (Class::Ambiguous, "AmbiguousUri"),
        };
        found.note(class, reason);
        found.differs = true;
        written.extend_from_slice(format!("%{byte:02X}").as_bytes());
    }
    found.lines.push([&method[..], &written[..], told].join(&b' '));
    (method, is_old)
}

fn header(found: &mut Findings, line: &[u8], is_old: bool) {
    if line.len() + 2 > HEADER_MAX {
        found.refuse("BadHeader", 400);
    }
    if line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        found.refuse("BadHeader", 400);
    }
    if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
        found.note(Class::Ambiguous, "EmptyHeader");
        found.differs = true;
        return;
    }
    if matches!(line[0], b' ' | b'\t') {
        // A folded line goes on with the one before, which was judged without it.
        found.note(Class::Ambiguous, "SuspiciousHeader");
        found.differs = true;
        if found.lines.len() > 1
            && let Some(before) = found.lines.last_mut()
        {
            before.push(b' ');
            before.extend(clean(trimmed(line)));
        }
        return;
    }
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        found.note(Class::Ambiguous, "SuspiciousHeader");
        found.differs = true;
        return;
    };
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    if name.is_empty() {
        found.note(Class::Ambiguous, "EmptyHeader");
        found.differs = true;
        return;
    }
    if name.ends_with(b" ") || name.ends_with(b"\t") {
        // RFC 9112, 5.1, has it refused, whatever the header.
        found.refuse("BadHeader", 400);
    }
    let lower = name.to_ascii_lowercase();
    match &lower[..] {
        b"content-length" => length(found, line, value),
        b"transfer-encoding" => encoding(found, line, value, is_old),
        _ => other(found, line, &lower, value),
    }
}

fn other(found: &mut Findings, line: &[u8], name: &[u8], value: &[u8]) {
    let meant: Vec<u8> = name
        .iter()
        .filter(|byte| byte.is_ascii_graphic())
        .map(|byte| if *byte == b'_' { b'-' } else { *byte })
        .collect();
    if [&b"content-length"[..], b"transfer-encoding"].contains(&&meant[..]) {
        found.note(Class::Ambiguous, "SuspiciousHeader");
        found.differs = true;
        return;
    }
    if !name.iter().all(|byte| is_token(*byte)) {
        // What no name can be goes no further.
        found.note(Class::Acceptable, "NonCompliantHeader");
        found.differs = true;
        return;
    }
    if name == b"upgrade" {
        found.head.upgrades = true;
    }
    let has_controls = value.iter().any(|byte| matches!(byte, 0x01..=0x08 | 0x0a..=0x1f | 0x7f));
    if has_controls || value.iter().any(|byte| *byte >= 0x80) {
        found.note(Class::Acceptable, "NonCompliantHeader");
    }
    match has_controls {
        true => {
            found.differs = true;
            let mut written = line[..name.len()].to_vec();
            written.extend_from_slice(b": ");
            written.extend(clean(value));
            found.lines.push(written);
        }
        false => found.lines.push(line.to_vec()),
    }
}

fn length(found: &mut Findings, line: &[u8], value: &[u8]) {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(number) = number.filter(|_| is_number) else {
        return found.refuse("BadContentLength", 400);
    };
    match found.head.framing {
        Framing::Length(before) if found.has_length && before != number => {
            found.refuse("MultipleContentLength", 400);
        }
        _ if found.has_length => {
            found.note(Class::Ambiguous, "DuplicateContentLength");
            found.differs = true;
        }
        _ => {
            found.has_length = true;
            found.head.framing = Framing::Length(number);
            found.lines.push(line.to_vec());
        }
    }
}

fn encoding(found: &mut Findings, line: &[u8], value: &[u8], is_old: bool) {
    if found.is_chunked {
        return found.refuse("MultipleTransferEncodingChunked", 400);
    }
    let value = value.to_ascii_lowercase();
    match &value[..] {
        // HTTP/1.0 has no chunks (RFC 9112, 6.1).
        b"chunked" if is_old => found.refuse("BadTransferEncoding", 400),
        b"chunked" => {
            found.is_chunked = true;
            found.lines.push(line.to_vec());
        }
        b"identity" => found.differs = true,
        b"gzip" | b"deflate" | b"compress" | b"gzip, chunked" | b"gzip,chunked" => {
            found.refuse("BadTransferEncoding", 501);
        }
        _ => found.refuse("BadTransferEncoding", 400),
    }
}

/// What length and encoding mean together.
fn framed(found: &mut Findings, method: &[u8]) {
    let has_no_body = [&b"GET"[..], b"HEAD"].contains(&method);
    if found.is_chunked {
        if found.has_length {
            found.note(Class::Ambiguous, "BothTeClPresent");
            found.differs = true;
            found.lines.retain(|line| {
                let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
                !name.eq_ignore_ascii_case(b"content-length")
            });
        }
        if has_no_body {
            found.note(Class::Ambiguous, "UndefinedTransferEncodingSemantics");
        }
        found.head.framing = Framing::Chunked;
    } else if found.has_length && has_no_body {
        match found.head.framing {
            Framing::Length(0) => found.note(Class::Acceptable, "GetHeadZeroContentLength"),
            _ => found.note(Class::Ambiguous, "UndefinedContentLengthSemantics"),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// With spaces in the place of what a value cannot have.
fn clean(value: &[u8]) -> impl Iterator<Item = u8> {
    let kept = |byte: &u8| match byte {
        b'\t' | b' '..=b'~' | 0x80.. => *byte,
        _ => b' ',
    };
    value.iter().map(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Head {
        judge(text.as_bytes())
    }

    #[test]
    fn requests_are_classified_as_aws_does() {
        use Class::{Acceptable, Ambiguous, Compliant, Severe};
        for (head, class, reason) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n", Compliant, ""),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n", Compliant, ""),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", Compliant, ""),
            ("GET / HTTP/1.1\nHost: a\n", Acceptable, "NonCompliantHeader"),
            ("GET / HTTP/1.2\r\nHost: a\r\n", Acceptable, "NonCompliantVersion"),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n", Acceptable, "SpaceInUri"),
            ("GET / HTTP/1.1\r\nContent-Length: 0\r\n", Acceptable, "GetHeadZeroContentLength"),
            ("GET / HTTP/1.1\r\nX: \u{1}\r\n", Acceptable, "NonCompliantHeader"),
            ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n", Ambiguous, "AmbiguousUri"),
            ("GET / HTTP/1.1\r\n: a\r\n", Ambiguous, "EmptyHeader"),
            ("GET / HTTP/1.1\r\n \r\n", Ambiguous, "EmptyHeader"),
            ("GET / HTTP/1.1\r\nno colon\r\n", Ambiguous, "SuspiciousHeader"),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n", Ambiguous, "SuspiciousHeader"),
            ("GET / HTTP/1.1\r\nTransfer_Encoding: chunked\r\n", Ambiguous, "SuspiciousHeader"),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1\r\n",
                Ambiguous,
                "UndefinedContentLengthSemantics",
            ),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
                Ambiguous,
                "UndefinedTransferEncodingSemantics",
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                Ambiguous,
                "BothTeClPresent",
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
                Ambiguous,
                "DuplicateContentLength",
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
                Severe,
                "MultipleContentLength",
            ),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n", Severe, "BadContentLength"),
            ("POST / HTTP/1.1\r\nContent-Length: \r\n", Severe, "BadContentLength"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n", Severe, "BadTransferEncoding"),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", Severe, "BadTransferEncoding"),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Severe,
                "MultipleTransferEncodingChunked",
            ),
            ("POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n", Severe, "BadHeader"),
            ("GET / HTTP/1.1\r\nA: b\0\r\n", Severe, "BadHeader"),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n", Severe, "BadHeader"),
            ("G(T / HTTP/1.1\r\nA: b\r\n", Severe, "BadMethod"),
            ("GET /\0 HTTP/1.1\r\nA: b\r\n", Severe, "BadUri"),
            ("GET / HTTP/2.0\r\nA: b\r\n", Severe, "BadVersion"),
            ("GET /\r\nA: b\r\n", Severe, "BadVersion"),
        ] {
            let found = judged(&format!("{head}\r\n"));
            assert_eq!((found.class, found.reason), (class, reason), "{head:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_written_in_one() {
        for (head, written) in [
            ("GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("GET /a b HTTP/1.5\r\n\r\n", "GET /a%20b HTTP/1.1\r\n\r\n"),
            ("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", "GET / HTTP/1.1\r\nA: b c\r\n\r\n"),
            ("GET / HTTP/1.1\r\nnope\r\n: x\r\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n",
                "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            ),
        ] {
            let found = judged(head).rewritten.expect("another head");
            assert_eq!(String::from_utf8_lossy(&found), written);
            // Read again, nothing is left to write anew.
            assert_eq!(judge(&found).rewritten, None, "{head:?}");
        }
        assert_eq!(
            judged("POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n").framing,
            Framing::Length(7)
        );
        assert_eq!(judged("GET / HTTP/1.1\r\nA: b\r\n\r\n").rewritten, None);
    }

    #[test]
    fn heads_have_limits() {
        let long = "a".repeat(REQUEST_LINE_MAX);
        let found = judged(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((found.class, found.status), (Class::Severe, 414));
        let found = judged(&format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n"));
        assert_eq!((found.class, found.status), (Class::Severe, 400));
        let found = judged("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n");
        assert_eq!((found.class, found.status), (Class::Severe, 501));
    }
}
