//! A ledger with alarms and logs, and an edge over it.

use std::path::Path;
use std::sync::Arc;

use cloudwatch::{CloudWatch, Logs, Tables};
use http::{Method, Request, Response};
use ledger::{Ledger, MemoryStore, Schema};
use serde_json::Value;
use stage::{CountedIds, HeldClock};
use wire::{Body, Edge};

/// The time that it is, in milliseconds since 1970.
pub const NOW: i64 = stage::NOW.millis();

pub struct World {
    edge: Edge,
}

impl World {
    /// A world whose rows are in `store`, and whose logs are in `folder`.
    pub fn on(store: MemoryStore, folder: &Path) -> Self {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let (clock, ids) = (HeldClock::default(), Arc::new(CountedIds::default()));
        let ledger = Ledger::open(schema, Box::new(store), Arc::new(clock.clone()), ids).unwrap();
        let logs = Logs::new(tables, ledger.clone(), folder.to_path_buf());
        let edge = stage::edge(&clock)
            .service(CloudWatch::new(tables, ledger).service())
            .service(logs.service())
            .build();
        Self { edge }
    }

    /// Status, headers and body of any request.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let answer =
            self.edge.handle(request.map(|body| Body::from(bytes::Bytes::from(body))), None).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect(16 << 20).await.unwrap();
        Response::from_parts(parts, body.to_vec())
    }

    /// Status and body of a call in JSON; `target` is as in `Logs_20140328.GetLogEvents`.
    pub async fn ask(&self, target: &str, input: &str) -> (u16, String) {
        let version = if target.starts_with("Granite") { "1.0" } else { "1.1" };
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("content-type", format!("application/x-amz-json-{version}"))
            .header("x-amz-target", target)
            .body(input.as_bytes().to_vec())
            .unwrap();
        let answer = self.send(request).await;
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body()).unwrap())
    }

    /// The answer to a call on logs that must succeed.
    pub async fn logs(&self, operation: &str, input: Value) -> Value {
        let target = format!("Logs_20140328.{operation}");
        let (status, body) = self.ask(&target, &input.to_string()).await;
        assert_eq!(status, 200, "{operation}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}
