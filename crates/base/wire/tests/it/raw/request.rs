//! A raw request through the whole edge, without a socket: resolving, checking the signature,
//! decoding, the handler, encoding. Shared by the tests and the fuzz target.

use std::sync::OnceLock;

use http::Request;
use tokio::runtime::{Builder, Runtime};
use wire::{Body, Edge};

use crate::stage::Answer;

/// The edge's answer to `raw`: a line of method and target, lines of headers, an empty line, a
/// body; lines end with `\n`. `None` if there is no way to write this as an HTTP request, which
/// hyper would have refused before the edge sees it.
pub fn whole_request(edge: &Edge, raw: &[u8]) -> Option<Answer> {
    let end = raw.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((raw, &b""[..]), |end| (&raw[..end], &raw[end + 2..]));
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut words = lines.next()?.split(|&byte| byte == b' ');
    let mut request = Request::builder().method(words.next()?).uri(words.next()?);
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let request = request.body(Body::from(bytes::Bytes::copy_from_slice(body))).ok()?;
    runtime().block_on(async {
        let (parts, body) = edge.handle(request, None).await.into_parts();
        let body = body.collect(64 << 20).await.ok()?;
        Some(Answer { status: parts.status, headers: parts.headers, body })
    })
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}
