//! A ledger with both services, and an edge over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use http::{Method, Request};
use ledger::{Ledger, MemoryStore, Schema, SecretsKeys};
use secrets::{Secrets, Tables};
use serde_json::Value;
use terms::{Clock, IdSource, Region, Timestamp};
use wire::{Authenticator, Body, CredentialLookup, Edge};

/// 2026-01-02T03:04:05.678Z.
pub const NOW: i64 = 1_767_323_045_678;

/// A clock that stands still until it is put forward.
#[derive(Default)]
struct Put(AtomicI64);

impl Clock for Put {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW + self.0.load(Ordering::SeqCst))
    }
}

/// Numbers spread over all bytes.
struct Counted(AtomicU64);

impl IdSource for Counted {
    fn next(&self) -> [u8; 16] {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        u128::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
    }
}

/// Nobody has a key: the edge is open.
struct NoKeys;

impl Authenticator for NoKeys {
    fn find(&self, _: &str, _: Option<&str>, _: &Region, _: Timestamp) -> CredentialLookup {
        CredentialLookup::Unknown
    }
}

pub struct World {
    edge: Edge,
    clock: Arc<Put>,
    pub secrets: Secrets,
}

impl World {
    /// A world whose rows are in `store`, sealed with a key.
    pub fn on(store: MemoryStore) -> Self {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let keys = SecretsKeys::new(&[[7_u8; 32]]).unwrap();
        schema.seal_secrets(Arc::new(keys));
        let ids = || Arc::new(Counted(AtomicU64::new(0)));
        let clock = Arc::new(Put::default());
        let ledger = Ledger::open(schema, Box::new(store), clock.clone(), ids()).unwrap();
        let secrets = Secrets::new(tables, ledger, ids());
        let edge = Edge::builder(Arc::new(NoKeys), clock.clone(), ids())
            .home("123456789012".parse().unwrap(), "us-east-1".parse().unwrap())
            .service(secrets.ssm())
            .service(secrets.secretsmanager())
            .open(true)
            .build();
        Self { edge, clock, secrets }
    }

    /// Puts the clock forward.
    pub fn wait_days(&self, days: i64) {
        self.clock.0.fetch_add(days * 86_400_000, Ordering::SeqCst);
    }

    /// Status and body of a call in JSON; `target` is as in `AmazonSSM.GetParameter`.
    pub async fn ask(&self, target: &str, input: &str) -> (u16, String) {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .body(Body::from(bytes::Bytes::from(input.to_owned())))
            .unwrap();
        let answer = self.edge.handle(request, None).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect(16 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The answer to a call that must succeed.
    pub async fn get(&self, target: &str, input: Value) -> Value {
        let (status, body) = self.ask(target, &input.to_string()).await;
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}
