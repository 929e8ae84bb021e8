//! What the load balancer answers itself, byte for byte as AWS's does (as observed).

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version, header};
use terms::Timestamp;

use super::answer::Answer;

/// The answers of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Whether `Server` is told.
    pub(super) shows_server: bool,
    /// What the client speaks.
    pub(super) version: Version,
    /// Whether the client speaks gRPC.
    pub(super) is_grpc: bool,
}

/// The title of a page, where it differs from the usual reason.
fn title(status: StatusCode) -> String {
    let words = match status.as_u16() {
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        463 | 464 => "",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    format!("{} {words}", status.as_u16()).trim_end().to_owned()
}

fn html(status: StatusCode) -> String {
    let title = title(status);
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

/// A time as `Date` tells it.
pub(super) fn date(now: Timestamp) -> String {
    let since = Duration::from_millis(u64::try_from(now.millis()).unwrap_or_default());
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since)
}

/// The page of a failure as bytes. With `ends` the client is told that its connection ends.
pub(super) fn raw_page(status: u16, shows_server: bool, now: Timestamp, ends: bool) -> Vec<u8> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = html(status);
    let date = date(now);
    let end = if ends { "Connection: close\r\n" } else { "" };
    let server = if shows_server { "Server: awselb/2.0\r\n" } else { "" };
    let (reason, length) = (status.canonical_reason().unwrap_or_default(), body.len());
    let code = status.as_u16();
    format!(
        "HTTP/1.1 {code} {reason}\r\n{server}Date: {date}\r\nContent-Type: text/html\r\n\
         Content-Length: {length}\r\n{end}\r\n{body}"
    )
    .into_bytes()
}

/// The length of a page's head with the empty line behind it.
pub(super) fn head_length(page: &[u8]) -> usize {
    const END: &[u8] = b"\r\n\r\n";
    page.windows(END.len()).position(|part| part == END).map_or(page.len(), |at| at + END.len())
}

impl Own {
    /// The page of a failure.
    pub(super) fn page(self, status: StatusCode) -> Response<Answer> {
        let body = html(status);
        let html = HeaderValue::from_static("text/html");
        self.answer(status, Some(html), Bytes::from(body))
    }

    /// The page that sends a client elsewhere.
    pub(super) fn redirect(self, permanent: bool, location: HeaderValue) -> Response<Answer> {
        let status = if permanent { StatusCode::MOVED_PERMANENTLY } else { StatusCode::FOUND };
        let mut response = self.page(status);
        response.headers_mut().insert(header::LOCATION, location);
        response
    }

    /// The answer of a rule.
    pub(super) fn fixed(
        self,
        status: StatusCode,
        content_type: Option<HeaderValue>,
        body: Bytes,
    ) -> Response<Answer> {
        self.answer(status, content_type, body)
    }

    fn answer(
        self,
        status: StatusCode,
        content_type: Option<HeaderValue>,
        body: Bytes,
    ) -> Response<Answer> {
        // Clients of gRPC read the status out of headers alone if nothing follows them.
        let body = if self.is_grpc { Bytes::new() } else { body };
        let mut response = Response::new(Answer::own(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if self.shows_server {
            headers.insert(header::SERVER, HeaderValue::from_static("awselb/2.0"));
        }
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        // As observed of 502; the others follow gRPC's mapping of HTTP's statuses.
        if self.is_grpc {
            let (code, message) = match status.as_u16() {
                502..=504 => ("14", "unavailable"),
                464 => ("12", "unimplemented"),
                _ => ("13", "internal"),
            };
            headers.insert("grpc-status", HeaderValue::from_static(code));
            headers.insert("grpc-message", HeaderValue::from_static(message));
            let kind = HeaderValue::from_static("application/grpc");
            headers.insert(header::CONTENT_TYPE, kind);
        }
        if self.version == Version::HTTP_10 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_long_as_aws_s() {
        let own = Own { shows_server: true, version: Version::HTTP_11, is_grpc: false };
        let length = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            hyper::body::Body::size_hint(own.page(status).body()).exact()
        };
        assert_eq!(length(502), Some(122));
        assert_eq!(length(503), Some(162));
        assert_eq!(length(301), Some(134));
        assert_eq!(length(302), Some(110));
    }
}
