//! Where a redirect action sends a client (API reference, `RedirectActionConfig`).

use http::{HeaderValue, Uri};

use super::headers::without_port;
use crate::config::Redirect;

/// Longest location, in bytes.
const LOCATION_MAX: usize = 8 * 1024;

/// Where a request came to.
pub(super) struct Place<'a> {
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// What it is for.
    pub(super) uri: &'a Uri,
    /// Its host.
    pub(super) host: &'a str,
    /// The listener's port.
    pub(super) port: u16,
}

/// The location; none if it is too long.
pub(super) fn location(redirect: &Redirect, place: &Place<'_>) -> Option<HeaderValue> {
    let Place { scheme, uri, host, port } = *place;
    let (path, query) = (uri.path().trim_start_matches('/'), uri.query().unwrap_or_default());
    let host = without_port(host);
    let fill = |text: &str| {
        // The parts of the request go in at last, so that nothing in them is filled in.
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("#{") {
            filled.push_str(before);
            let Some((word, behind)) = after.split_once('}') else {
                filled.push_str("#{");
                rest = after;
                continue;
            };
            match word {
                "protocol" => filled.push_str(scheme),
                "host" => filled.push_str(host),
                "port" => filled.push_str(&port.to_string()),
                "path" => filled.push_str(path),
                "query" => filled.push_str(query),
                other => filled.push_str(&format!("#{{{other}}}")),
            }
            rest = behind;
        }
        filled.push_str(rest);
        filled
    };
    let protocol = fill(&redirect.protocol).to_ascii_lowercase();
    let mut text = format!(
        "{protocol}://{}:{}{}",
        fill(&redirect.host),
        fill(&redirect.port),
        fill(&redirect.path)
    );
    let query = fill(&redirect.query);
    if !query.is_empty() {
        text.push('?');
        text.push_str(&query);
    }
    if text.len() > LOCATION_MAX {
        return None;
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_filled_in() {
        let same = Redirect {
            permanent: true,
            protocol: "#{protocol}".into(),
            host: "#{host}".into(),
            port: "#{port}".into(),
            path: "/#{path}".into(),
            query: "#{query}".into(),
        };
        let told = |redirect: &Redirect, uri: &str| {
            let uri: Uri = uri.parse().expect("a target");
            let host = "old.example.com:8080";
            location(redirect, &Place { scheme: "http", uri: &uri, host, port: 8080 })
        };
        let secure = Redirect { protocol: "HTTPS".into(), port: "443".into(), ..same.clone() };
        let value = |text: &'static str| Some(HeaderValue::from_static(text));
        assert_eq!(told(&secure, "/a/b?c=d"), value("https://old.example.com:443/a/b?c=d"));
        assert_eq!(told(&secure, "/"), value("https://old.example.com:443/"));
        let moved = Redirect {
            host: "new.#{host}".into(),
            path: "/from/#{port}/#{path}".into(),
            query: "was=#{path}&#{query}".into(),
            ..same.clone()
        };
        let expected = value("http://new.old.example.com:8080/from/8080/x?was=x&y=%23");
        assert_eq!(told(&moved, "/x?y=%23"), expected);
        let literal = Redirect { query: "y=#{moon}".into(), ..same };
        assert_eq!(told(&literal, "/x"), value("http://old.example.com:8080/x?y=#{moon}"));
        assert_eq!(told(&moved, &format!("/{}", "a".repeat(8 * 1024))), None);
    }
}
