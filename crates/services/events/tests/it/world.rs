//! A ledger with events, an edge over it, and targets that do as they are told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use events::{Delivery, Events, EventsSetup, Failure, Moment, Scope, Source, Tables, Target};
use ledger::{Commit, Ledger, MemoryStore, Record, Revision, Schema, Snapshot, Table};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stage::{CountedIds, HeldClock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::Edge;

/// A target for log groups' ARNs: refuses as often as it was told to, then takes.
#[derive(Default)]
pub struct Inbox {
    pub refusals: Mutex<VecDeque<Failure>>,
    pub taken: Mutex<Vec<Delivery>>,
    pub seen: Mutex<u32>,
    changed: Notify,
}

impl Inbox {
    /// Waits until so many deliveries were seen, taken or not.
    pub async fn seen(&self, count: u32) {
        loop {
            let changed = self.changed.notified();
            if *self.seen.lock() >= count {
                return;
            }
            changed.await;
        }
    }

    /// What the taken deliveries say.
    pub fn payloads(&self) -> Vec<String> {
        self.taken.lock().iter().map(|delivery| delivery.payload.clone()).collect()
    }
}

/// The inbox as a target.
pub struct Box1(pub Arc<Inbox>);

#[async_trait]
impl Target for Box1 {
    fn takes(&self, arn: &str) -> bool {
        arn.starts_with("arn:aws:logs:")
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let take = |delivery: &Delivery| {
            *self.0.seen.lock() += 1;
            match self.0.refusals.lock().pop_front() {
                Some(failure) => Err(failure),
                None => {
                    self.0.taken.lock().push(delivery.clone());
                    Ok(())
                }
            }
        };
        let outcomes = deliveries.iter().map(take).collect();
        self.0.changed.notify_waiters();
        outcomes
    }
}

/// Something that a service keeps, and tells of when it changes.
#[derive(Serialize, Deserialize)]
pub struct Thing {
    pub n: u32,
}

impl Record for Thing {}

/// Tells of things, and counts how often somebody wanted to know more.
#[derive(Clone)]
pub struct Things {
    pub table: Table<String, Thing>,
    pub written_out: Arc<AtomicU64>,
}

impl Things {
    fn moment(&self, name: String, n: u32) -> Moment {
        let (account, region) = ("123456789012".parse().unwrap(), "us-east-1".parse().unwrap());
        let written_out = self.written_out.clone();
        let detail = move || {
            written_out.fetch_add(1, Ordering::SeqCst);
            format!("{{\"n\":{n}}}")
        };
        Moment {
            scope: Scope { account, region },
            source: "aws.things",
            detail_type: if name == "marker" { "Marker" } else { "Thing Change" },
            resources: vec![name],
            detail: Arc::new(detail),
        }
    }
}

impl Source for Things {
    fn of_commit(&self, commit: &Commit) -> Vec<Moment> {
        let changes = commit.changes_of(&self.table);
        changes.filter_map(|change| Some(self.moment(change.key, change.after?.n))).collect()
    }

    fn found_after(&self, snapshot: &Snapshot, revision: Revision) -> Vec<(Revision, Moment)> {
        let rows = snapshot.prefix(&self.table, &());
        let newer = rows.filter(|(_, row)| row.version() > revision);
        newer.map(|(key, row)| (row.version(), self.moment(key, row.n))).collect()
    }
}

pub struct World {
    pub ledger: Ledger,
    pub things: Things,
    pub clock: HeldClock,
    pub inbox: Arc<Inbox>,
    pub events: Events,
    pub edge: Edge,
}

impl World {
    pub fn new() -> Self {
        Self::on(MemoryStore::new(), HeldClock::default())
    }

    /// A world on a store that may have rows.
    pub fn on(store: MemoryStore, clock: HeldClock) -> Self {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let table = schema.table("test.things");
        let things = Things { table, written_out: Arc::default() };
        let ids = || Arc::new(CountedIds::default());
        let shared = Arc::new(clock.clone());
        let ledger = Ledger::open(schema, Box::new(store), shared, ids()).unwrap();
        let inbox = Arc::new(Inbox::default());
        let setup = EventsSetup {
            ids: ids(),
            targets: vec![Arc::new(Box1(inbox.clone()))],
            sources: vec![Arc::new(things.clone())],
        };
        let events = Events::new(tables, ledger.clone(), setup);
        let edge = stage::edge(&clock).service(events.service()).build();
        Self { ledger, things, clock, inbox, events, edge }
    }

    /// Lets deliveries and schedules run until the token is cancelled.
    pub fn run(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let (events, ended) = (self.events.clone(), token.clone());
        tokio::spawn(async move { events.run(ended).await });
        token
    }

    /// Status and body of a call.
    pub async fn ask(&self, operation: &str, input: &str) -> (u16, String) {
        stage::ask_json(&self.edge, &format!("AWSEvents.{operation}"), input).await
    }

    /// The answer to a call that must succeed.
    pub async fn done(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.ask(operation, &input.to_string()).await;
        assert_eq!(status, 200, "{operation}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}
