//! Headers on their way to a target and back (Application Load Balancer guide, "X-Forwarded
//! headers", "Host header preservation").

use std::io::Write;
use std::net::SocketAddr;

use http::header::{CONNECTION, COOKIE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};

use super::{Client, trace};
use crate::config::{Forwarded, Speaks};
use crate::inbound::Inbound;
use crate::listening::Plan;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const TLS_VERSION: HeaderName = HeaderName::from_static("x-amzn-tls-version");
const TLS_CIPHER: HeaderName = HeaderName::from_static("x-amzn-tls-cipher-suite");
/// What is between two neighbours only, beside what `Connection` names (RFC 9110, 7.6.1).
pub(super) const BETWEEN_TWO: [&str; 5] =
    ["keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
/// What only the load balancer itself may tell.
pub(super) const OURS: [&str; 3] = ["x-amzn-mtls-", "x-amzn-oidc-", "x-amzn-tls-"];

/// The host that a request is for: an absolute target's, else the header's, else `usual`.
pub(super) fn host(request: &Request<Inbound>, usual: &str) -> String {
    if let Some(authority) = request.uri().authority() {
        return authority.as_str().to_owned();
    }
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    host.filter(|host| !host.is_empty()).unwrap_or(usual).to_owned()
}

/// `example.com` of `example.com:80`, `[::1]` of `[::1]:80`.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            match name.contains(':') && !name.ends_with(']') {
                true => host,
                false => name,
            }
        }
        _ => host,
    }
}

/// The way that a request takes.
pub(super) struct Way<'a> {
    /// Where it comes from.
    pub(super) client: &'a Client,
    /// The host that it is for.
    pub(super) host: &'a str,
    /// Whether it is to become a WebSocket.
    pub(super) upgrade: bool,
    /// What the target speaks.
    pub(super) speaks: Speaks,
}

/// Makes of a client's request the one that goes to a target.
pub(super) fn prepare(request: &mut Request<Inbound>, plan: &Plan, way: &Way<'_>) {
    let Way { client, host, upgrade, speaks } = *way;
    let settings = &plan.settings;
    let headers = request.headers_mut();
    let takes_trailers = headers.get(TE).is_some_and(|value| value == "trailers");
    strip(headers, upgrade);
    let is_ours = |name: &str| OURS.iter().any(|ours| name.starts_with(ours));
    let is_invalid = |name: &str| !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let dropped = |name: &&HeaderName| {
        let name = name.as_str();
        is_ours(name) || (settings.drop_invalid_headers && is_invalid(name))
    };
    let dropped: Vec<HeaderName> = headers.keys().filter(dropped).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
    headers.remove(http::header::EXPECT);
    match settings.forwarded {
        Forwarded::Preserve => {}
        Forwarded::Remove => drop(headers.remove(FORWARDED_FOR)),
        Forwarded::Append => append_client(headers, client.peer, settings.client_port),
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    headers.insert(FORWARDED_PORT, HeaderValue::from(plan.port));
    if let Some((version, cipher)) = client.tls.filter(|_| settings.tells_tls) {
        headers.insert(TLS_VERSION, HeaderValue::from_static(version));
        headers.insert(TLS_CIPHER, HeaderValue::from_static(cipher));
    }
    let traced = trace::next(headers.get(TRACE_ID), plan.clock.now().seconds());
    headers.insert(TRACE_ID, traced);
    let host = match settings.preserve_host {
        true => host.to_owned(),
        false => told_host(host, plan.port),
    };
    match speaks {
        Speaks::Http1 | Speaks::Bytes => to_http1(request, &host),
        Speaks::Http2 | Speaks::Grpc => to_http2(request, &host, takes_trailers),
    }
}

fn to_http1(request: &mut Request<Inbound>, host: &str) {
    let is_http2 = request.version() == Version::HTTP_2;
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        let target = request.uri().path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(target);
    }
    let headers = request.headers_mut();
    insert(headers, HOST, host);
    // A client of HTTP/2 may part its cookies; here they are one header (RFC 9113, 8.2.3).
    if is_http2 && headers.get_all(COOKIE).iter().nth(1).is_some() {
        let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

fn to_http2(request: &mut Request<Inbound>, host: &str, takes_trailers: bool) {
    *request.version_mut() = Version::HTTP_2;
    let target = request.uri().path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let builder = Uri::builder().scheme("http").authority(host).path_and_query(target);
    if let Ok(uri) = builder.build() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    headers.remove(HOST);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes away what is between two neighbours only; of an upgrade its own headers stay.
pub(super) fn strip(headers: &mut HeaderMap, upgrade: bool) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !(upgrade && *name == UPGRADE))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in BETWEEN_TWO {
        if !(upgrade && name == UPGRADE.as_str()) {
            headers.remove(name);
        }
    }
    match upgrade {
        true => drop(headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"))),
        false => drop(headers.remove(CONNECTION)),
    }
    debug_assert!(!headers.contains_key(TRANSFER_ENCODING), "bodies are framed anew");
}

/// Host as targets see it unless it is preserved: in small letters, with the port of listeners on
/// other ports than the usual ones.
pub(super) fn told_host(host: &str, port: u16) -> String {
    let mut told = Vec::new();
    write_told_host(&mut told, host, port);
    String::from_utf8(told).unwrap_or_default()
}

/// The same behind what there is.
pub(super) fn write_told_host(out: &mut Vec<u8>, host: &str, port: u16) {
    let (begin, name) = (out.len(), without_port(host));
    match port {
        80 | 443 => out.extend_from_slice(name.as_bytes()),
        _ if name.len() < host.len() => out.extend_from_slice(host.as_bytes()),
        port => {
            // Writing to a buffer cannot fail.
            let _ = write!(out, "{host}:{port}");
        }
    }
    out[begin..].make_ascii_lowercase();
}

fn append_client(headers: &mut HeaderMap, peer: SocketAddr, with_port: bool) {
    let client = match with_port {
        true => peer.to_string(),
        false => peer.ip().to_string(),
    };
    let came = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let mut all: Vec<String> = came.map(str::to_owned).collect();
    all.push(client);
    insert(headers, FORWARDED_FOR, &all.join(", "));
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_as_aws_tells_them() {
        assert_eq!(told_host("Shop.Example.com", 80), "shop.example.com");
        assert_eq!(told_host("shop.example.com:80", 80), "shop.example.com");
        assert_eq!(told_host("shop.example.com", 8080), "shop.example.com:8080");
        assert_eq!(told_host("shop.example.com:9", 8080), "shop.example.com:9");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("::1"), "::1");
    }

    #[test]
    fn what_is_between_two_neighbours_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-yours", "2"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-yours"]);
    }
}
