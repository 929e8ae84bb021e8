//! A ledger with both services, and an edge over it.

use std::sync::Arc;
use std::time::Duration;

use iam::Iam;
use ledger::{Ledger, MemoryStore, Schema, SecretsKeys};
use secrets::{Secrets, Tables};
use serde_json::Value;
use stage::{CountedIds, HeldClock};
use wire::Edge;

/// The account of the stage's edge.
pub const ACCOUNT: &str = "123456789012";

pub struct World {
    edge: Edge,
    clock: HeldClock,
    pub secrets: Secrets,
}

impl World {
    /// A world whose rows are in `store`, sealed with a key.
    pub fn on(store: MemoryStore) -> Self {
        Self::made(store).0
    }

    /// A world in which policies of secrets can name the users and roles of the account.
    pub async fn with_identities() -> (Self, Iam) {
        let (world, ledger, tables) = Self::made(MemoryStore::new());
        let iam = Iam::open(ledger, tables, ACCOUNT.parse().unwrap()).await.unwrap();
        let secrets = world.secrets.with_identities(iam.clone());
        let edge = stage::edge(&world.clock).service(secrets.secretsmanager()).build();
        (Self { edge, secrets, ..world }, iam)
    }

    fn made(store: MemoryStore) -> (Self, Ledger, iam::Tables) {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let of_iam = iam::Tables::new(&mut schema);
        let keys = SecretsKeys::new(&[[7_u8; 32]]).unwrap();
        schema.seal_secrets(Arc::new(keys));
        let ids = || Arc::new(CountedIds::default());
        let clock = HeldClock::default();
        let ledger = Ledger::open(schema, Box::new(store), Arc::new(clock.clone()), ids()).unwrap();
        let secrets = Secrets::new(tables, ledger.clone(), ids());
        let edge =
            stage::edge(&clock).service(secrets.ssm()).service(secrets.secretsmanager()).build();
        (Self { edge, clock, secrets }, ledger, of_iam)
    }

    /// Puts the clock forward.
    pub fn wait_days(&self, days: u64) {
        self.clock.advance(Duration::from_secs(days * 86_400));
    }

    /// Status and body of a call in JSON; `target` is as in `AmazonSSM.GetParameter`.
    pub async fn ask(&self, target: &str, input: &str) -> (u16, String) {
        stage::ask_json(&self.edge, target, input).await
    }

    /// The answer to a call that must succeed.
    pub async fn get(&self, target: &str, input: Value) -> Value {
        let (status, body) = self.ask(target, &input.to_string()).await;
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}
