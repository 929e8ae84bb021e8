//! Calls of an edge.

use std::sync::Arc;

use http::{Method, Request};
use wire::{Body, Edge, EdgeBuilder};

use crate::{CountedIds, HeldClock, NoKeys};

/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 16 << 20;

/// An edge of account 123456789012 in us-east-1 that asks nobody for a key; services are added.
pub fn edge(clock: &HeldClock) -> EdgeBuilder {
    Edge::builder(Arc::new(NoKeys), Arc::new(clock.clone()), Arc::new(CountedIds::default()))
        .home("123456789012".parse().unwrap(), "us-east-1".parse().unwrap())
        .open(true)
}

/// Status and body of a call in JSON 1.1; `target` is as in `AmazonSSM.GetParameter`.
pub async fn ask_json(edge: &Edge, target: &str, input: &str) -> (u16, String) {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(Body::from(input.to_owned()))
        .unwrap();
    let answer = edge.handle(request, None).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect(ANSWER_MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
