//! Lists of headers as requests (RFC 9113, 8.2 and 8.3).

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http2::Fields;

use crate::proxy::plain::Asked;

/// A list that is no request: its stream ends with PROTOCOL_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What is between two neighbours of HTTP/1, and nothing here (RFC 9113, 8.2.2).
const FORBIDDEN: [&[u8]; 5] =
    [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"];

/// A request's list.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    method: &'a [u8],
    scheme: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    /// How many fields come before the headers.
    before: usize,
    fields: &'a Fields,
    /// What the body is said to have, in bytes.
    pub(super) length: Option<u64>,
}

impl<'a> Asking<'a> {
    /// Reads a list.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(super) fn read(fields: &'a Fields) -> Result<Self, Malformed> {
        let mut asking = Self {
            method: b"",
            scheme: None,
            path: None,
            authority: None,
            before: 0,
            fields,
            length: None,
        };
        let mut all = fields.iter().peekable();
        let mut method = None;
        while let Some((name, value)) = all.next_if(|(name, _)| name.starts_with(b":")) {
            let place = match name {
                b":method" => &mut method,
                b":scheme" => &mut asking.scheme,
                b":path" => &mut asking.path,
                b":authority" => &mut asking.authority,
                _ => return Err(Malformed),
            };
            if place.replace(value).is_some() || !is_value(value) {
                return Err(Malformed);
            }
            asking.before += 1;
        }
        for (name, value) in all {
            check(name, value)?;
            if name == CONTENT_LENGTH.as_str().as_bytes() {
                let length = number(value)?;
                if asking.length.replace(length).is_some_and(|before| before != length) {
                    return Err(Malformed);
                }
            }
        }
        asking.method = method.ok_or(Malformed)?;
        asking.check()?;
        Ok(asking)
    }

    /// Whether all is there that a method needs (RFC 9113, 8.3.1 and 8.5).
    fn check(&self) -> Result<(), Malformed> {
        let is_whole = match (self.method, self.scheme, self.path) {
            (b"CONNECT", None, None) => self.authority.is_some(),
            (b"CONNECT", ..) | (_, None, _) | (_, _, None) => false,
            (b"OPTIONS", _, Some(b"*")) => true,
            (_, Some(_), Some(path)) => path.starts_with(b"/"),
        };
        // Names of users are not part of it.
        let has_user = self.authority.is_some_and(|text| text.contains(&b'@'));
        if is_whole && !has_user { Ok(()) } else { Err(Malformed) }
    }

    fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter().skip(self.before)
    }

    /// Whether the answer has no body.
    pub(super) fn is_head(&self) -> bool {
        self.method == b"HEAD"
    }

    /// The same as a request of the usual kind, if it is one. It has no body.
    pub(super) fn usual(&self) -> Option<Asked<'a>> {
        let line = (self.method, self.path?, self.authority?);
        Asked::of_stream(line, self.headers())
    }

    /// The same as the library has requests.
    ///
    /// # Errors
    /// [`Malformed`] if something of it is beyond what the library takes.
    pub(super) fn request<B>(&self, body: B) -> Result<Request<B>, Malformed> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(self.method).map_err(|_| Malformed)?;
        *request.version_mut() = Version::HTTP_2;
        let mut uri = Uri::builder();
        if let Some(authority) = self.authority.filter(|authority| !authority.is_empty()) {
            uri = uri.authority(authority);
            // Without a host there is a path alone.
            if let Some(scheme) = self.scheme {
                uri = uri.scheme(scheme);
            }
        }
        if let Some(path) = self.path {
            uri = uri.path_and_query(path);
        }
        *request.uri_mut() = uri.build().map_err(|_| Malformed)?;
        *request.headers_mut() = map(self.headers())?;
        Ok(request)
    }
}

/// What comes behind a body.
///
/// # Errors
/// [`Malformed`].
pub(super) fn trailers(fields: &Fields) -> Result<HeaderMap, Malformed> {
    for (name, value) in fields.iter() {
        check(name, value)?;
    }
    map(fields.iter())
}

fn map<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<HeaderMap, Malformed> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_lowercase(name).map_err(|_| Malformed)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Malformed)?;
        map.try_append(name, value).map_err(|_| Malformed)?;
    }
    Ok(map)
}

/// Whether a field may be among the headers of a request.
fn check(name: &[u8], value: &[u8]) -> Result<(), Malformed> {
    let is_name = !name.is_empty() && name.iter().all(|byte| is_of_name(*byte));
    let is_forbidden = match name.len() {
        7 | 10 | 16 | 17 => FORBIDDEN.contains(&name),
        2 => name == b"te" && value != b"trailers",
        _ => false,
    };
    if is_name && !is_forbidden && is_value(value) { Ok(()) } else { Err(Malformed) }
}

/// What names have (RFC 9110, 5.6.2), in small letters alone (RFC 9113, 8.2.1).
fn is_of_name(byte: u8) -> bool {
    const KNOWN: [bool; 256] = {
        let mut known = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            known[byte as usize] = byte.is_ascii_lowercase() || byte.is_ascii_digit();
            byte += 1;
        }
        let others = b"!#$%&'*+-.^_`|~";
        let mut at = 0;
        while at < others.len() {
            known[others[at] as usize] = true;
            at += 1;
        }
        known
    };
    KNOWN[usize::from(byte)]
}

/// Whether a text may be a value (RFC 9113, 8.2.1): no controls, no white space at its ends.
fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    !is_space(value.first()) && !is_space(value.last()) && value.iter().all(is_text)
}

/// Digits and nothing else.
fn number(value: &[u8]) -> Result<u64, Malformed> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use http2::Decoder;

    use super::*;

    /// A list that is made of these.
    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut block = Vec::new();
        for (name, value) in all {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).expect("it is short"));
                block.extend_from_slice(text.as_bytes());
            }
        }
        let mut fields = Fields::new(64 * 1024);
        Decoder::new(0).decode(&block, &mut fields).expect("a list");
        fields
    }

    const GET: [(&str, &str); 4] = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/a?b"),
        (":authority", "a.example.com"),
    ];

    fn is_read(all: &[(&str, &str)]) -> bool {
        let fields = fields(all);
        Asking::read(&fields).and_then(|asking| asking.request(())).is_ok()
    }

    #[test]
    fn requests_are_what_they_have_to_be() {
        let with = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
        for more in [
            &[][..],
            &[("te", "trailers")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("x-empty", ""), ("x_y", "\t".trim()), ("a", "b \u{e9}")],
            &[("cookie", "a"), ("cookie", "b")],
        ] {
            assert!(is_read(&with(more)), "{more:?}");
        }
        for more in [
            // 8.2.1: names and values.
            &[("X", "1")][..],
            &[("", "1")],
            &[("a b", "1")],
            &[("a:b", "1")],
            &[("\u{e9}", "1")],
            &[("a", "b\r\nc: d")],
            &[("a", "b\0")],
            &[("a", " b")],
            &[("a", "b\t")],
            // 8.2.2: what is between two neighbours.
            &[("connection", "close")],
            &[("proxy-connection", "close")],
            &[("keep-alive", "5")],
            &[("transfer-encoding", "chunked")],
            &[("upgrade", "h2c")],
            &[("te", "gzip")],
            // 8.3: pseudo-headers behind others, twice, unknown ones, of answers.
            &[("a", "b"), (":path", "/")],
            &[(":path", "/")],
            &[(":protocol", "websocket")],
            &[(":status", "200")],
            // 8.1.1.
            &[("content-length", "5"), ("content-length", "6")],
            &[("content-length", "+5")],
            &[("content-length", "")],
        ] {
            assert!(!is_read(&with(more)), "{more:?}");
        }
    }

    #[test]
    fn what_a_method_needs_is_there() {
        let without = |name: &str| -> Vec<_> {
            GET.iter().filter(|(known, _)| *known != name).copied().collect()
        };
        for (name, may_lack) in
            [(":method", false), (":scheme", false), (":path", false), (":authority", true)]
        {
            assert_eq!(is_read(&without(name)), may_lack, "{name}");
        }
        let path = |method: &'static str, path: &'static str| {
            is_read(&[
                (":method", method),
                (":scheme", "https"),
                (":path", path),
                (":authority", "a"),
            ])
        };
        assert!(path("OPTIONS", "*") && path("GET", "/") && path("BREW", "/pot"));
        assert!(!path("GET", "*") && !path("GET", "") && !path("GET", "a") && !path("", "/"));
        assert!(!path("CONNECT", "/") && !path("GET", "http://a/") && !path("GE T", "/"));
        assert!(is_read(&[(":method", "CONNECT"), (":authority", "a:443")]));
        assert!(!is_read(&[(":method", "CONNECT")]));
        assert!(!is_read(&[&GET[..3], &[(":authority", "me@a")]].concat()));
    }

    #[test]
    fn trailers_have_no_pseudo_headers() {
        let read = |all: &[(&str, &str)]| trailers(&fields(all)).map(|map| map.len());
        assert_eq!(read(&[("grpc-status", "0"), ("x", "y")]), Ok(2));
        assert_eq!(read(&[(":path", "/")]), Err(Malformed));
        assert_eq!(read(&[("connection", "close")]), Err(Malformed));
    }

    #[test]
    fn the_usual_and_the_library_s_are_the_same() {
        let all = [&GET[..], &[("accept", "*/*"), ("x-a", "1")]].concat();
        let fields = fields(&all);
        let asking = Asking::read(&fields).expect("a request");
        assert!(asking.usual().is_some());
        let request = asking.request(()).expect("a request");
        assert_eq!(request.uri(), "https://a.example.com/a?b");
        assert_eq!(request.headers()["x-a"], "1");
        for unusual in [("x_y", "1"), ("content-length", "0"), ("content-type", "application/grpc")]
        {
            let fields = self::fields(&[&GET[..], &[unusual]].concat());
            assert!(Asking::read(&fields).expect("a request").usual().is_none(), "{unusual:?}");
        }
    }
}
