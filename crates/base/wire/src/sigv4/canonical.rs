//! The canonical request (IAM User Guide, "Create a signed AWS API request").

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::percent_decode;

/// How the path enters the canonical request. Signers disagree; the check tries them all at paths
/// other than `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UriPath {
    /// Dot segments and repeated slashes are removed.
    pub normalised: bool,
    /// The path as received is percent-encoded once more; every service but S3.
    pub encoded_again: bool,
}

impl UriPath {
    /// What AWS documents for every service but S3.
    pub const STANDARD: Self = Self { normalised: true, encoded_again: true };
    /// What AWS documents for S3, where a key may hold anything.
    pub const OBJECT: Self = Self { normalised: false, encoded_again: false };
    /// All ways that signers are known to take, the documented one first.
    pub const ALL: [Self; 4] = [
        Self::STANDARD,
        Self { normalised: false, encoded_again: true },
        Self { normalised: true, encoded_again: false },
        Self { normalised: false, encoded_again: false },
    ];
}

/// What a canonical request is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// The path as received, percent-encoded.
    pub(super) path: &'a str,
    /// The query string as received, without the question mark.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// What HTTP/2 sends instead of `host`.
    pub(super) authority: Option<&'a str>,
}

impl Request<'_> {
    /// The canonical request; `signed_headers` are lower-case names joined by semicolons.
    pub(super) fn canonical(
        &self,
        form: UriPath,
        signed_headers: &str,
        payload_hash: &str,
    ) -> String {
        let mut out = String::with_capacity(640);
        out.push_str(self.method);
        out.push('\n');
        push_path(&mut out, self.path, form);
        out.push('\n');
        push_query(&mut out, self.query);
        out.push('\n');
        for name in signed_headers.split(';') {
            out.push_str(name);
            out.push(':');
            self.push_header(&mut out, name);
            out.push('\n');
        }
        out.push('\n');
        out.push_str(signed_headers);
        out.push('\n');
        out.push_str(payload_hash);
        out
    }

    /// Whether the request carries a header of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
            || (matches!(name, "host" | ":authority") && self.authority.is_some())
    }

    /// A header's values, trimmed, inner blanks squeezed, joined by commas in order of arrival.
    fn push_header(&self, out: &mut String, name: &str) {
        let mut values = self.headers.get_all(name).iter().peekable();
        if values.peek().is_none() {
            if let (Some(authority), "host" | ":authority") = (self.authority, name) {
                out.push_str(authority);
            }
            return;
        }
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(',');
            }
            let text = String::from_utf8_lossy(value.as_bytes());
            push_squeezed(out, &text);
        }
    }
}

fn push_squeezed(out: &mut String, text: &str) {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let mut blank = false;
    for character in text.chars() {
        if character.is_ascii_whitespace() {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) {
            out.push(' ');
        }
        out.push(character);
    }
}

fn push_path(out: &mut String, path: &str, form: UriPath) {
    if matches!(path, "" | "/") {
        return out.push('/');
    }
    let path = if form.normalised { Cow::Owned(normalise(path)) } else { Cow::Borrowed(path) };
    if form.encoded_again {
        push_encoded(out, path.as_bytes(), true);
    } else {
        let decoded: Cow<'_, [u8]> = percent_decode(path.as_bytes()).into();
        push_encoded(out, &decoded, true);
    }
}

/// The path without dot segments and repeated slashes; a trailing slash stays.
fn normalise(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let directory = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let trailing = if directory && !segments.is_empty() { "/" } else { "" };
    format!("/{}{trailing}", segments.join("/"))
}

/// The query's parameters, decoded and encoded again, sorted by name and then value, without
/// the signature itself.
fn push_query(out: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (recode(name), recode(value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

/// A bare plus is a blank: who means a plus writes `%2B`. Amazon's ECS agent sends its Docker version so,
/// and signs it with `%20`, as Go's signer does with all queries.
fn recode(text: &str) -> String {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    let decoded: Cow<'_, [u8]> = percent_decode(&spaced).into();
    let mut out = String::with_capacity(text.len());
    push_encoded(&mut out, &decoded, false);
    out
}

/// Percent-encodes all but RFC 3986's unreserved characters, and the slash if it is to stay.
pub(super) fn push_encoded(out: &mut String, bytes: &[u8], keep_slash: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        let kept = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || (keep_slash && byte == b'/');
        if kept {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_pluses_of_queries_are_told_apart() {
        let check = |query, expected| {
            let mut out = String::new();
            push_query(&mut out, query);
            assert_eq!(out, expected);
        };
        check("v=DockerVersion%3A+20.10.24%2Bdfsg1", "v=DockerVersion%3A%2020.10.24%2Bdfsg1");
        check("b=1&a=%20", "a=%20&b=1");
    }
}
