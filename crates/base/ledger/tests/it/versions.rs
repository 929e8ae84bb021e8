//! Servers of two versions over one etcd, as during an upgrade: who leads, what each reads of the
//! other, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Leadership, Ledger, MemoryEtcd, Record, Schema, StoreError, Table};

use crate::records::{Extended, First, Second};
use crate::world::{Sources, runtime, settings};

/// Far more than anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(240);

/// A server of the version whose record is `V`.
struct Server<V: Record> {
    ledger: Ledger,
    table: Table<u32, V>,
}

impl<V: Record + Clone> Server<V> {
    async fn join(etcd: &MemoryEtcd, name: &str) -> Result<Self, StoreError> {
        let mut schema = Schema::new();
        let table = schema.table("test.changing");
        let (etcd, sources) = (Arc::new(etcd.clone()), Arc::new(Sources::default()));
        let settings = settings(name, "", "/versions");
        let ledger = Ledger::join_on(etcd, schema, settings, sources.clone(), sources).await?;
        Ok(Self { ledger, table })
    }

    async fn leads(&self) {
        self.ledger.leadership().wait_for(Leadership::is_leading).await.unwrap();
    }

    async fn put(&self, key: u32, value: V) {
        let put = self.ledger.transact("put", |tx| {
            tx.put(&self.table, key, value.clone());
            Ok::<_, ()>(())
        });
        put.await.unwrap();
    }

    /// What all servers have acknowledged before.
    async fn read(&self, key: u32) -> V {
        let snapshot = self.ledger.current().await.unwrap();
        V::clone(&snapshot.get(&self.table, &key).unwrap())
    }
}

fn run(test: impl Future<Output = ()>) {
    runtime().block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("no hang") });
}

#[test]
fn an_optional_member_is_added_while_both_versions_serve() {
    run(async {
        let etcd = MemoryEtcd::new();
        let newer = Server::<Extended>::join(&etcd, "newer").await.unwrap();
        newer.leads().await;
        let older = Server::<First>::join(&etcd, "older").await.unwrap();
        for key in [1, 2] {
            newer.put(key, Extended { name: "Ann".to_owned(), length: Some(3) }).await;
        }
        // Each reads what the other wrote.
        assert_eq!(older.read(1).await.name, "Ann");
        newer.ledger.resign().await;
        older.leads().await;
        older.put(1, First { name: "Bob".to_owned() }).await;
        older.put(3, First { name: "Cid".to_owned() }).await;
        // The older one does not keep what it does not know in the rows that it writes, and leaves
        // the others alone: nothing may rely on the member before all servers are new.
        let told = [newer.read(1).await, newer.read(2).await, newer.read(3).await];
        assert_eq!(told.each_ref().map(|row| row.length), [None, Some(3), None]);
        assert_eq!(told.map(|row| row.name), ["Bob", "Ann", "Cid"]);
    });
}

#[test]
fn older_ones_lead_until_they_are_gone_and_are_refused_afterwards() {
    run(async {
        let etcd = MemoryEtcd::new();
        let first = Server::<First>::join(&etcd, "first").await.unwrap();
        first.leads().await;
        // What the newer one would write the others could not read: it leaves the lead to them.
        let newer = Server::<Second>::join(&etcd, "newer").await.unwrap();
        let other = Server::<First>::join(&etcd, "other").await.unwrap();
        first.put(1, First { name: "Ann".to_owned() }).await;
        assert_eq!(newer.read(1).await.names, ["Ann"]);
        first.ledger.resign().await;
        drop(first);
        other.leads().await;
        other.put(1, First { name: "Bob".to_owned() }).await;
        assert_eq!(newer.read(1).await.names, ["Bob"]);
        other.ledger.resign().await;
        drop(other);
        newer.leads().await;
        newer.put(1, Second { names: vec!["Ann".to_owned(), "Bob".to_owned()] }).await;
        let refused = Server::<First>::join(&etcd, "first").await.map(drop).unwrap_err();
        let told = terms::with_causes(&refused);
        assert!(told.contains("record version is 2, this program reads up to 1"), "{told}");
        assert_eq!(newer.read(1).await.names.len(), 2);
    });
}
