//! Secret tables: sealed in every store, opened with any of the keys, refused with others.

use std::sync::Arc;

use ledger::{
    EmbeddedStore, Ledger, MemoryStore, Record, Schema, SecretsError, SecretsKeys, Store,
    StoreError, Table, Write,
};
use serde::{Deserialize, Serialize};

use crate::world::{Sources, run};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";
const FIRST: [u8; 32] = [1; 32];
const SECOND: [u8; 32] = [2; 32];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Hidden {
    text: String,
}

impl Record for Hidden {}

#[derive(Clone, Copy)]
struct Safe {
    hidden: Table<String, Hidden>,
    open: Table<String, Hidden>,
}

fn schema(keys: &[[u8; 32]]) -> (Schema, Safe) {
    let mut schema = Schema::new();
    let safe = Safe { hidden: schema.table("test.hidden"), open: schema.table("test.open") };
    schema.secret(&safe.hidden);
    if !keys.is_empty() {
        schema.seal_secrets(Arc::new(SecretsKeys::new(keys).unwrap()));
    }
    (schema, safe)
}

fn open(store: Box<dyn Store>, keys: &[[u8; 32]]) -> Result<(Ledger, Safe), StoreError> {
    let (schema, safe) = schema(keys);
    let sources = Arc::new(Sources::default());
    Ok((Ledger::open(schema, store, sources.clone(), sources)?, safe))
}

async fn put(ledger: &Ledger, safe: Safe, key: &str) {
    let put = ledger.transact("put", |tx| {
        let hidden = Hidden { text: SECRET.to_owned() };
        tx.put(&safe.hidden, key.to_owned(), hidden);
        tx.put(&safe.open, key.to_owned(), Hidden { text: "public".to_owned() });
        Ok::<_, ()>(())
    });
    put.await.unwrap();
}

fn texts(ledger: &Ledger, safe: Safe) -> Vec<String> {
    ledger.snapshot().range(&safe.hidden, ..).map(|(_, row)| row.text.clone()).collect()
}

/// The stored bodies of a table.
fn bodies(mut store: MemoryStore, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    let read = store.load(&mut |row| {
        if row.table == table {
            all.push((row.key.to_vec(), row.body.to_vec()));
        }
        Ok(())
    });
    read.unwrap();
    all
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn refusal(store: MemoryStore, keys: &[[u8; 32]]) -> String {
    open(Box::new(store), keys).map(drop).unwrap_err().to_string()
}

#[test]
fn the_store_sees_sealed_bodies_only() {
    run(async {
        let store = MemoryStore::new();
        let (ledger, safe) = open(Box::new(store.clone()), &[FIRST]).unwrap();
        put(&ledger, safe, "a").await;
        put(&ledger, safe, "b").await;
        assert_eq!(texts(&ledger, safe), [SECRET, SECRET]);
        let hidden = bodies(store.clone(), "test.hidden");
        assert!(hidden.iter().all(|(_, body)| !has(body, SECRET)));
        assert_ne!(hidden[0].1, hidden[1].1, "nonces differ");
        assert!(bodies(store.clone(), "test.open").iter().all(|(_, body)| has(body, "public")));
        let (again, safe) = open(Box::new(store), &[FIRST]).unwrap();
        assert_eq!(texts(&again, safe), [SECRET, SECRET]);
    });
}

#[test]
fn no_file_of_the_embedded_store_holds_a_secret() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let (ledger, safe) = open(Box::new(store), &[FIRST]).unwrap();
        put(&ledger, safe, "a").await;
        drop(ledger);
        let (mut folders, mut files) = (vec![folder.path().to_path_buf()], 0);
        let mut public = false;
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let bytes = std::fs::read(entry.path()).unwrap();
                files += 1;
                public |= has(&bytes, "public");
                assert!(!has(&bytes, SECRET), "{}", entry.path().display());
            }
        }
        assert!(files > 0 && public, "the search finds what is not secret");
    });
}

#[test]
fn another_key_and_no_key_are_refused() {
    run(async {
        let store = MemoryStore::new();
        let (ledger, safe) = open(Box::new(store.clone()), &[FIRST]).unwrap();
        put(&ledger, safe, "a").await;
        let told = refusal(store.clone(), &[SECOND]);
        assert!(told.contains("is sealed with the key") && told.contains("test.hidden"), "{told}");
        let told = refusal(store.clone(), &[]);
        assert!(told.contains("this server has none"), "{told}");
        let (mut schema, safe) = schema(&[]);
        schema.leave_secrets_out();
        let sources = Arc::new(Sources::default());
        let looked = Ledger::open(schema, Box::new(store), sources.clone(), sources).unwrap();
        assert!(texts(&looked, safe).is_empty());
        assert_eq!(looked.snapshot().range(&safe.open, ..).count(), 1);
    });
}

#[test]
fn a_new_key_takes_over_and_the_old_one_can_go() {
    run(async {
        let store = MemoryStore::new();
        let (ledger, safe) = open(Box::new(store.clone()), &[FIRST]).unwrap();
        put(&ledger, safe, "a").await;
        put(&ledger, safe, "b").await;
        drop(ledger);
        let (ledger, safe) = open(Box::new(store.clone()), &[SECOND, FIRST]).unwrap();
        put(&ledger, safe, "c").await;
        assert_eq!(ledger.reseal().await.unwrap(), 2);
        assert_eq!(ledger.reseal().await.unwrap(), 0);
        drop(ledger);
        let (ledger, safe) = open(Box::new(store.clone()), &[SECOND]).unwrap();
        assert_eq!(texts(&ledger, safe), [SECRET; 3]);
        assert!(refusal(store, &[FIRST]).contains("is sealed with the key"));
    });
}

#[test]
fn a_store_from_before_there_were_keys_is_read_and_sealed() {
    run(async {
        let store = MemoryStore::new();
        let (ledger, safe) = open(Box::new(store.clone()), &[]).unwrap();
        put(&ledger, safe, "a").await;
        drop(ledger);
        let (ledger, safe) = open(Box::new(store.clone()), &[FIRST]).unwrap();
        assert_eq!(texts(&ledger, safe), [SECRET]);
        assert_eq!(ledger.reseal().await.unwrap(), 1);
        assert!(bodies(store, "test.hidden").iter().all(|(_, body)| !has(body, SECRET)));
    });
}

/// Overwrites one stored row with another's body, as somebody with the store's keys might.
fn tamper(store: &mut MemoryStore, key: &[u8], body: &[u8]) {
    let mut found = None;
    let revision = store.load(&mut |row| {
        if row.table == "test.hidden" && row.key == key {
            found = Some((row.created, row.version, row.record_version));
        }
        Ok(())
    });
    let (created, version, record_version) = found.unwrap();
    let row = ledger::StoredRow { created, version, record_version, body: body.into() };
    let write = Write { table: "test.hidden", key: key.into(), row: Some(row) };
    let batch = ledger::Batch { revision: revision.unwrap(), writes: vec![write] };
    store.commit(&batch).unwrap();
}

#[test]
fn what_was_moved_changed_or_slipped_in_is_refused() {
    run(async {
        let mut store = MemoryStore::new();
        let (ledger, safe) = open(Box::new(store.clone()), &[FIRST]).unwrap();
        put(&ledger, safe, "a").await;
        put(&ledger, safe, "b").await;
        drop(ledger);
        let hidden = bodies(store.clone(), "test.hidden");
        let ((a, sealed_a), (_, sealed_b)) = (&hidden[0], &hidden[1]);
        tamper(&mut store, a, sealed_b);
        assert!(refusal(store.clone(), &[FIRST]).contains("belongs to another row"));
        let mut changed = sealed_a.clone();
        *changed.last_mut().unwrap() ^= 1;
        tamper(&mut store, a, &changed);
        assert!(refusal(store.clone(), &[FIRST]).contains("was changed"));
        let clear = bodies(store.clone(), "test.open")[0].1.clone();
        tamper(&mut store, a, &clear);
        assert!(refusal(store.clone(), &[FIRST]).contains("in the clear"));
        tamper(&mut store, a, sealed_a);
        assert!(open(Box::new(store), &[FIRST]).is_ok());
    });
}

#[test]
fn keys_have_one_length() {
    let refuse = |keys: &[&[u8]]| SecretsKeys::new(keys).map(drop).unwrap_err();
    assert_eq!(refuse(&[]), SecretsError::Keys);
    assert_eq!(refuse(&[&[0; 16]]), SecretsError::Keys);
    let keys = SecretsKeys::new(&[FIRST, SECOND]).unwrap();
    assert_eq!(keys.ids().len(), 2);
    assert!(!format!("{keys:?}").contains("0101"));
}

#[test]
fn an_examination_reads_what_its_keys_open_and_counts_the_rest() {
    run(async {
        let mut store = MemoryStore::new();
        let (ledger, safe) = open(Box::new(store.clone()), &[FIRST]).unwrap();
        put(&ledger, safe, "a").await;
        put(&ledger, safe, "b").await;
        let look = |store: &mut MemoryStore, key: Option<[u8; 32]>| {
            let (mut schema, safe) = schema(&[]);
            match key {
                Some(key) => schema.look_into_secrets(Arc::new(SecretsKeys::new(&[key]).unwrap())),
                None => schema.leave_secrets_out(),
            }
            let found = ledger::examine(&schema, store).unwrap();
            (found.sealed, found.snapshot.range(&safe.hidden, ..).count(), found.findings)
        };
        for key in [None, Some(SECOND)] {
            let (sealed, read, findings) = look(&mut store, key);
            assert!(sealed == 2 && read == 0 && findings.is_empty(), "{key:?}: {findings:?}");
        }
        let (sealed, read, findings) = look(&mut store, Some(FIRST));
        assert!(sealed == 0 && read == 2 && findings.is_empty(), "{findings:?}");
        // What was changed, or put there by something else, is found with the key alone.
        let hidden = bodies(store.clone(), "test.hidden");
        let ((a, _), (_, other)) = (&hidden[0], &hidden[1]);
        tamper(&mut store, a, other);
        let (sealed, read, findings) = look(&mut store, Some(FIRST));
        assert!(sealed == 0 && read == 1 && findings.counts["ledger.rows"] == 1, "{findings:?}");
        assert!(look(&mut store, None).2.is_empty());
        let clear = bodies(store.clone(), "test.open")[0].1.clone();
        tamper(&mut store, a, &clear);
        let (_, _, findings) = look(&mut store, Some(FIRST));
        assert!(format!("{findings:?}").contains("it is in the clear"), "{findings:?}");
    });
}
