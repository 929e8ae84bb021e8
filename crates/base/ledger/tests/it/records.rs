//! Records that change between versions of the program.

use std::sync::Arc;

use ledger::{
    Etcd, EtcdOp, EtcdTxn, Leadership, Ledger, MemoryEtcd, Record, RecordError, Schema, StoreError,
    Table, decode_body,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::world::{Backend, Embedded, Memory, Sources, run, runtime, settings};

/// As the first program had it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct First {
    pub name: String,
}

impl Record for First {}

/// One more optional member: needs no version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Extended {
    pub name: String,
    #[serde(default)]
    pub length: Option<u32>,
}

impl Record for Extended {}

/// A member of another form: needs one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Second {
    pub names: Vec<String>,
}

impl Record for Second {
    const VERSION: u16 = 2;

    fn migrate(from: u16, body: &[u8]) -> Result<Self, RecordError> {
        match from {
            1 => Ok(Self { names: vec![decode_body::<First>(body)?.name] }),
            found => Err(RecordError::UnknownVersion { found, newest: Self::VERSION }),
        }
    }
}

/// Not what any program wrote as version 1.
#[derive(Debug, Serialize, Deserialize)]
struct Careless {
    number: u64,
}

impl Record for Careless {}

fn open<V: Record>(backend: &impl Backend) -> Result<(Ledger, Table<u32, V>), StoreError> {
    let mut schema = Schema::new();
    let table = schema.table("test.changing");
    let sources = Arc::new(Sources::default());
    Ok((Ledger::open(schema, backend.store(), sources.clone(), sources)?, table))
}

fn write<V: Record + DeserializeOwned + Clone>(backend: &impl Backend, key: u32, value: &V) {
    let (ledger, table) = open::<V>(backend).unwrap();
    let put = ledger.transact("put", |tx| {
        tx.put(&table, key, value.clone());
        Ok::<_, ()>(())
    });
    run(put).unwrap();
}

fn check(backend: &impl Backend) {
    write(backend, 1, &First { name: "Ada".to_owned() });

    let (ledger, table) = open::<Extended>(backend).unwrap();
    let row = ledger.snapshot().get(&table, &1).unwrap();
    assert_eq!((row.name.as_str(), row.length), ("Ada", None));
    drop(ledger);

    let problem = open::<Careless>(backend).unwrap_err().to_string();
    assert!(problem.starts_with("a row of table test.changing cannot be read:"), "{problem}");

    write(backend, 2, &Second { names: vec!["Bea".to_owned(), "Cy".to_owned()] });
    let (ledger, table) = open::<Second>(backend).unwrap();
    let names: Vec<String> =
        ledger.snapshot().range(&table, ..).flat_map(|(_, row)| row.names.clone()).collect();
    assert_eq!(names, ["Ada", "Bea", "Cy"]);
    drop(ledger);

    let problem = open::<First>(backend).unwrap_err().to_string();
    let expected = "a row of table test.changing cannot be read: its record version is 2, this \
                    program reads up to 1";
    assert_eq!(problem, expected);

    // A program that knows nothing of the table leaves it alone.
    drop(backend.world());
    assert_eq!(open::<Second>(backend).unwrap().0.snapshot().revision(), 2);
}

#[test]
fn records_may_change_in_memory() {
    check(&Memory::default());
}

#[test]
fn records_may_change_on_disk() {
    check(&Embedded::default());
}

async fn join<V: Record>(etcd: &MemoryEtcd, name: &str) -> Ledger {
    let mut schema = Schema::new();
    let _: Table<u32, V> = schema.table("test.changing");
    let (etcd, sources) = (Arc::new(etcd.clone()), Arc::new(Sources::default()));
    let settings = settings(name, "", "/test");
    Ledger::join_on(etcd, schema, settings, sources.clone(), sources).await.unwrap()
}

#[test]
fn a_newer_server_leaves_the_lead_to_an_older_one_that_lives() {
    runtime().block_on(async {
        let etcd = MemoryEtcd::new();
        let leads = async |ledger: &Ledger| {
            ledger.leadership().wait_for(Leadership::is_leading).await.unwrap();
        };
        // The first by its name, and there first.
        let newer = join::<Second>(&etcd, "a").await;
        leads(&newer).await;
        let older = join::<First>(&etcd, "b").await;
        for _ in 0..3 {
            let gone = EtcdOp::Delete(b"/test/leader".to_vec());
            etcd.txn(EtcdTxn { then: vec![gone], ..EtcdTxn::default() }).await.unwrap();
            let mut followed = newer.leadership();
            followed.wait_for(|role| !role.is_leading()).await.unwrap();
            leads(&older).await;
        }
        older.resign().await;
        leads(&newer).await;
    });
}
