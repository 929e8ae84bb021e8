//! Archives: what goes in comes out, in any store; what is damaged or cut short is told.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ledger::{
    About, ArchiveStore, Batch, Contents, IfNotEmpty, LoadedRow, MemoryStore, Pace, Revision,
    Schema, Store, StoreError, examine, export, import,
};
use tempfile::TempDir;
use terms::Timestamp;

use crate::world::{Backend, Embedded, Memory, Ship, World, key, run, ship};

fn schema() -> Schema {
    let mut schema = Schema::new();
    let ships = schema.table::<crate::world::Key, Ship>("test.ships");
    schema.index(&ships, "by_port", |_, ship: &Ship| vec![ship.port.clone()]);
    schema.index(&ships, "by_tag", |_, ship: &Ship| ship.tags.clone());
    schema
}

fn about() -> About {
    let (program, source) = ("1.2.3".to_owned(), "a test".to_owned());
    About { program, at: Timestamp::from_millis(1_700_000_000_000), source }
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("archive")
    }

    fn export(&self, store: &mut dyn Store) -> Contents {
        export(&schema(), store, File::create(self.path()).unwrap(), &about()).unwrap()
    }

    fn open(&self) -> ArchiveStore {
        ArchiveStore::open(&self.path()).unwrap()
    }
}

async fn fill(world: &World, ships: u32) {
    for number in 0..ships {
        world.put(key("red", number), ship("Oslo", u64::from(number))).await;
    }
    world.put(key("red", 1), ship("Bergen", 100)).await;
}

fn every_store(check: impl Fn(&dyn Fn() -> Box<dyn Store>)) {
    let (memory, embedded) = (Memory::default(), Embedded::default());
    check(&|| memory.store());
    check(&|| embedded.store());
}

#[test]
fn an_archive_carries_rows_and_revisions_from_any_store_to_any() {
    every_store(|from| {
        let world = World::open(from());
        run(fill(&world, 20));
        let (rows, revision) = (world.all(), world.ledger.snapshot().revision());
        drop(world);
        let folder = Folder::new();
        let contents = folder.export(&mut *from());
        assert_eq!((contents.revision, contents.rows()), (revision, 20));
        every_store(|to| {
            let done = import(&schema(), &folder.open(), &mut *to(), IfNotEmpty::Refuse).unwrap();
            assert_eq!(done, contents);
            let world = World::open(to());
            assert_eq!((world.all(), world.ledger.snapshot().revision()), (rows.clone(), revision));
            let row = world.ledger.snapshot().get(&world.ships, &key("red", 1)).unwrap();
            assert_eq!((row.created(), row.version()), (2, 21));
            // Later commits go on behind it.
            assert_eq!(run(world.put(key("blue", 1), ship("Oslo", 1))), revision + 1);
        });
    });
}

#[test]
fn an_archive_of_a_ledger_that_serves_is_of_one_revision() {
    let world = Memory::default().world();
    run(fill(&world, 5));
    let mut rows = world.ledger.rows();
    run(world.put(key("blue", 1), ship("Oslo", 1)));
    let folder = Folder::new();
    assert_eq!(folder.export(&mut rows).revision, 6);
    assert_eq!(World::open(Box::new(folder.open())).all().len(), 5);
}

#[test]
fn equal_rows_have_equal_sums_whatever_their_order() {
    struct Turned(MemoryStore);
    impl Store for Turned {
        fn load(
            &mut self,
            sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
        ) -> Result<Revision, StoreError> {
            let mut rows = Vec::new();
            let revision = self.0.load(&mut |row| {
                rows.push((row.key.to_vec(), row.created, row.version, row.body.to_vec()));
                Ok(())
            })?;
            for (key, created, version, body) in rows.iter().rev() {
                let (created, version) = (*created, *version);
                let (table, record_version) = ("test.ships", 1);
                sink(LoadedRow { table, key, created, version, record_version, body })?;
            }
            Ok(revision)
        }
        fn commit(&mut self, _: &Batch) -> Result<(), StoreError> {
            Ok(())
        }
        fn pace(&self) -> Pace {
            Pace::Inline
        }
    }
    let store = MemoryStore::new();
    run(fill(&World::open(Box::new(store.clone())), 5));
    let straight = Folder::new().export(&mut store.clone());
    assert_eq!(Folder::new().export(&mut Turned(store.clone())), straight);
    run(World::open(Box::new(store.clone())).put(key("red", 1), ship("Bergen", 101)));
    let other = Folder::new().export(&mut store.clone());
    assert_ne!(other.tables["test.ships"].sum, straight.tables["test.ships"].sum);
}

#[test]
fn every_change_of_a_byte_is_found() {
    let store = MemoryStore::new();
    run(fill(&World::open(Box::new(store.clone())), 30));
    let folder = Folder::new();
    let contents = folder.export(&mut store.clone());
    let good = fs::read(folder.path()).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(folder.path(), bytes).unwrap();
        let to = MemoryStore::new();
        let outcome = ArchiveStore::open(&folder.path())
            .and_then(|a| import(&schema(), &a, &mut to.clone(), IfNotEmpty::Refuse));
        assert!(outcome.is_err(), "{what}");
        assert_eq!(World::open(Box::new(to)).all(), [], "{what}");
        outcome.unwrap_err().to_string()
    };
    // Some bits of zstd's own heads say nothing of the content: then it comes out the same.
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(folder.path(), &bad).unwrap();
        let to = MemoryStore::new();
        let done = ArchiveStore::open(&folder.path())
            .and_then(|a| import(&schema(), &a, &mut to.clone(), IfNotEmpty::Refuse));
        assert!(done.is_err() || done.unwrap() == contents, "byte {at}");
    }
    for end in [0, 5, 21, 60, good.len() / 2, good.len() - 1] {
        refused(&good[..end], &format!("cut at {end}"));
    }
    refused(&[&good[..], b"more"].concat(), "more behind the end");
    let newer = [b"longshore-archive 2\n", &good[20..]].concat();
    let told = refused(&newer, "a newer format");
    assert!(told.contains("archive format 2, this program reads up to 1"), "{told}");
    let told = refused(b"PK\x03\x04", "another file");
    assert!(told.contains("is no archive of 'longshore store export'"), "{told}");
}

#[test]
fn a_store_with_rows_is_replaced_only_if_that_is_wanted() {
    let store = MemoryStore::new();
    run(fill(&World::open(Box::new(store.clone())), 5));
    let folder = Folder::new();
    folder.export(&mut store.clone());
    every_store(|to| {
        run(World::open(to()).put(key("blue", 7), ship("Oslo", 7)));
        let refused = import(&schema(), &folder.open(), &mut *to(), IfNotEmpty::Refuse);
        assert!(matches!(refused, Err(StoreError::NotEmpty { rows: 1 })), "{refused:?}");
        import(&schema(), &folder.open(), &mut *to(), IfNotEmpty::Replace).unwrap();
        let all = World::open(to()).all();
        assert_eq!(all, World::open(Box::new(store.clone())).all());
    });
}

/// A store that fails after so many commits, as when the process dies.
struct Failing(MemoryStore, usize);

impl Store for Failing {
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError> {
        self.0.load(sink)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let Some(left) = self.1.checked_sub(1) else { return Err(StoreError::Stopped) };
        self.1 = left;
        self.0.commit(batch)
    }

    fn pace(&self) -> Pace {
        Pace::Inline
    }
}

#[test]
fn an_import_that_was_cut_short_serves_nobody_and_is_completed_by_another() {
    let store = MemoryStore::new();
    let world = World::open(Box::new(store.clone()));
    // Several commits' worth.
    let long = "x".repeat(100 << 10);
    run(async {
        for number in 0..20 {
            world.put(key("red", number), ship(&long, 0)).await;
        }
    });
    let folder = Folder::new();
    let contents = folder.export(&mut store.clone());
    let mut commits = 0;
    loop {
        let to = MemoryStore::new();
        let first = import(
            &schema(),
            &folder.open(),
            &mut Failing(to.clone(), commits),
            IfNotEmpty::Refuse,
        );
        if first.is_ok() {
            break;
        }
        if commits > 0 {
            let error = open_error(to.clone());
            assert!(error.contains("in the middle of an import"), "{commits}: {error}");
        }
        let again = import(&schema(), &folder.open(), &mut to.clone(), IfNotEmpty::Refuse);
        assert_eq!(again.unwrap(), contents, "{commits}");
        assert_eq!(World::open(Box::new(to)).all(), world.all(), "{commits}");
        commits += 1;
    }
    assert!(commits > 3, "{commits}");
}

fn open_error(store: MemoryStore) -> String {
    let sources = std::sync::Arc::new(crate::world::Sources::default());
    ledger::Ledger::open(schema(), Box::new(store), sources.clone(), sources)
        .unwrap_err()
        .to_string()
}

#[test]
fn an_examination_goes_on_behind_what_cannot_be_read() {
    let mut store = MemoryStore::new();
    run(fill(&World::open(Box::new(store.clone())), 3));
    let row = |version, record_version, body: &[u8]| ledger::StoredRow {
        created: 9,
        version,
        record_version,
        body: body.into(),
    };
    let write = |table, key: &[u8], row| ledger::Write { table, key: key.into(), row: Some(row) };
    let good = good_key();
    store
        .commit(&Batch {
            revision: 4,
            writes: vec![
                write("test.ships", b"no key", row(9, 1, b"")),
                write("test.ships", &good, row(4, 7, b"")),
                write("other.table", b"k", row(9, 1, b"")),
            ],
        })
        .unwrap();
    let found = examine(&schema(), &mut store).unwrap();
    assert_eq!(found.strangers, ["other.table"]);
    assert_eq!(found.contents.rows(), 6);
    assert_eq!(found.record_versions["test.ships"][&7], 1);
    assert_eq!(found.findings.counts["ledger.rows"], 2);
    assert_eq!(found.findings.counts["ledger.revisions"], 2);
    let told = format!("{:?}", found.findings.told);
    assert!(told.contains("its record version is 7, this program reads up to 1"), "{told}");
    assert!(told.contains("written at revision 9, behind the last"), "{told}");
}

/// The stored key of `("zoo", 1)`.
fn good_key() -> Vec<u8> {
    let store = MemoryStore::new();
    run(World::open(Box::new(store.clone())).put(key("zoo", 1), ship("Oslo", 1)));
    let mut found = Vec::new();
    let mut store = store;
    store
        .load(&mut |row| {
            found = row.key.to_vec();
            Ok(())
        })
        .unwrap();
    found
}

#[test]
fn a_fork_forgets_and_leaves_the_original_alone() {
    let backend = Memory::default();
    let world = backend.world();
    run(fill(&world, 3));
    let fork = world.ledger.fork();
    let put = fork.transact("what if", |tx| {
        tx.put(&world.ships, key("blue", 1), ship("Oslo", 1));
        Ok::<_, ()>(())
    });
    assert_eq!(run(put).unwrap().revision, 5);
    assert!(fork.snapshot().get(&world.ships, &key("blue", 1)).is_some());
    assert_eq!(world.ledger.snapshot().revision(), 4);
    drop((world, fork));
    assert_eq!(backend.world().all().len(), 3);
}

/// `LONGSHORE_UPDATE_GOLDENS=1` writes the fixture of the present format, for when there is a new
/// one; those of earlier formats stay as they are.
#[test]
fn the_archive_of_this_format_is_read_for_good() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures");
    if std::env::var_os("LONGSHORE_UPDATE_GOLDENS").is_some() {
        let store = MemoryStore::new();
        run(fill(&World::open(Box::new(store.clone())), 5));
        let path = fixtures.join(format!("archive-{}", ledger::ARCHIVE_FORMAT));
        export(&schema(), &mut store.clone(), File::create(path).unwrap(), &about()).unwrap();
    }
    for format in 1..=ledger::ARCHIVE_FORMAT {
        let archive = ArchiveStore::open(&fixtures.join(format!("archive-{format}"))).unwrap();
        assert_eq!(archive.header().program, "1.2.3");
        assert_eq!(archive.header().created_at().millis(), 1_700_000_000_000);
        let world = World::open(Box::new(archive));
        let row = world.ledger.snapshot().get(&world.ships, &key("red", 1)).unwrap();
        assert_eq!((row.created(), row.version(), &*row.port), (2, 6, "Bergen"));
        assert_eq!(world.all().len(), 5);
    }
}
