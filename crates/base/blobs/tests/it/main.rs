//! The store on a real disk.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::time::SystemTime;

use blobs::{Digest, Durability, IngestError, Store, StoreError};
use proptest::prelude::*;
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    (folder, store)
}

fn open(folder: &Path) -> Store {
    Store::open_with(folder.join("blobs"), Durability::Relaxed).unwrap()
}

/// Files that are being written.
fn partial(folder: &TempDir) -> usize {
    fs::read_dir(folder.path().join("blobs/ingest")).unwrap().count()
}

#[test]
fn what_is_put_can_be_read_listed_and_deleted() {
    let (folder, store) = store();
    let digest = store.put(b"hello").unwrap();
    assert_eq!(digest, Digest::of(b"hello"));
    assert_eq!(store.put(b"hello").unwrap(), digest, "again is no error");
    assert_eq!(store.read(&digest, 5).unwrap().unwrap(), b"hello");
    assert!(matches!(store.read(&digest, 4), Err(StoreError::TooLarge { size_bytes: 5, .. })));
    assert_eq!(store.size_bytes(&digest), Some(5));
    let listed: Vec<_> = store.list().unwrap().into_iter().map(|entry| entry.digest).collect();
    assert_eq!(listed, [digest]);
    // Another process sees it, and can go on reading what is deleted.
    let mut reader = open(folder.path()).reader(&digest).unwrap().unwrap();
    assert!(store.delete(&digest).unwrap());
    assert!(!store.delete(&digest).unwrap());
    assert_eq!(store.read(&digest, 5).unwrap(), None);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert_eq!(partial(&folder), 0);
    let empty = store.put(b"").unwrap();
    assert_eq!(store.read(&empty, 0).unwrap().unwrap(), b"");
}

#[test]
fn an_ingest_goes_on_where_it_stopped() {
    let (folder, store) = store();
    let digest = Digest::of(b"hello world");
    let mut first = store.ingest(&digest).unwrap().unwrap();
    first.write(b"hello ").unwrap();
    drop(first);
    assert!(!store.contains(&digest), "a part is no blob");
    let mut second = open(folder.path()).ingest(&digest).unwrap().unwrap();
    assert_eq!(second.offset(), 6);
    second.write(b"world").unwrap();
    assert_eq!(second.commit(None, Some(11)).unwrap(), digest);
    assert_eq!(store.read(&digest, 100).unwrap().unwrap(), b"hello world");
    assert!(store.ingest(&digest).unwrap().is_none(), "it is here already");
    assert_eq!(partial(&folder), 0);
}

#[test]
fn wrong_bytes_never_become_a_blob() {
    let (folder, store) = store();
    let digest = Digest::of(b"right");
    let mut ingest = store.ingest(&digest).unwrap().unwrap();
    ingest.write(b"wrong").unwrap();
    let error = ingest.commit(None, Some(5)).unwrap_err();
    assert!(matches!(error, IngestError::Digest { expected, .. } if expected == digest));
    assert_eq!(partial(&folder), 0, "thrown away");
    let mut ingest = store.ingest(&digest).unwrap().unwrap();
    assert_eq!(ingest.offset(), 0);
    ingest.write(b"rig").unwrap();
    let error = ingest.commit(None, Some(5)).unwrap_err();
    assert!(matches!(error, IngestError::Size { expected_bytes: 5, actual_bytes: 3 }));
    let mut ingest = store.ingest(&digest).unwrap().unwrap();
    assert_eq!(ingest.offset(), 3, "too little is kept");
    ingest.restart().unwrap();
    ingest.write(b"right and more").unwrap();
    assert!(ingest.commit(None, Some(5)).is_err());
    assert_eq!(partial(&folder), 0, "too much is not");
    let mut unnamed = store.ingest_unnamed().unwrap();
    unnamed.write(b"x").unwrap();
    assert!(unnamed.commit(Some(&digest), None).is_err());
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_second_ingest_waits_for_the_first_and_finds_its_blob() {
    let (folder, store) = store();
    let digest = Digest::of(b"hello");
    let mut first = store.ingest(&digest).unwrap().unwrap();
    first.write(b"hel").unwrap();
    let (sender, done) = mpsc::channel();
    for _ in 0..4 {
        let (other, sender) = (open(folder.path()), sender.clone());
        std::thread::spawn(move || sender.send(other.ingest(&digest).unwrap().is_none()));
    }
    assert!(done.try_recv().is_err(), "nobody else may write it now");
    first.write(b"lo").unwrap();
    first.commit(None, None).unwrap();
    for _ in 0..4 {
        assert!(done.recv().unwrap(), "it is here, nothing to take in");
    }
    assert_eq!(partial(&folder), 0);
}

#[test]
fn a_sweep_takes_only_what_nobody_writes() {
    let (folder, store) = store();
    let mut live = store.ingest_unnamed().unwrap();
    live.write(b"live").unwrap();
    let digest = Digest::of(b"resumable");
    store.ingest(&digest).unwrap().unwrap().write(b"resu").unwrap();
    fs::write(folder.path().join("blobs/ingest/unnamed-0-0"), b"left by a crash").unwrap();
    assert_eq!(store.sweep(SystemTime::UNIX_EPOCH).unwrap(), 1, "the crash's");
    assert_eq!(store.ingest(&digest).unwrap().unwrap().offset(), 4);
    let written = fs::metadata(folder.path().join("blobs/ingest").join(digest.hex())).unwrap();
    let later = written.modified().unwrap() + std::time::Duration::from_secs(1);
    assert_eq!(store.sweep(later).unwrap(), 1, "the old resumable one");
    assert_eq!(live.commit(None, None).unwrap(), Digest::of(b"live"));
    drop(store.ingest_unnamed().unwrap());
    assert_eq!(partial(&folder), 0, "a dropped unnamed one goes by itself");
}

#[test]
fn foreign_files_in_the_folder_are_no_blobs() {
    let (folder, store) = store();
    fs::write(folder.path().join("blobs/sha256/readme"), b"x").unwrap();
    assert!(store.list().unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the bytes are cut, and wherever attempts break off, the blob comes out whole.
    #[test]
    fn any_cuts_give_the_same_blob(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 0..10)
    ) {
        let (folder, store) = store();
        let whole: Vec<u8> = pieces.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let digest = Digest::of(&whole);
        let mut ingest = store.ingest(&digest).unwrap().unwrap();
        for (bytes, breaks_off) in &pieces {
            ingest.write(bytes).unwrap();
            if *breaks_off {
                let offset = ingest.offset();
                drop(ingest);
                ingest = store.ingest(&digest).unwrap().unwrap();
                prop_assert_eq!(ingest.offset(), offset);
            }
        }
        ingest.commit(None, Some(whole.len() as u64)).unwrap();
        prop_assert_eq!(store.read(&digest, 10_000).unwrap().unwrap(), whole);
        prop_assert_eq!(partial(&folder), 0);
    }
}

#[test]
fn an_upload_outlives_its_process() {
    let (folder, store) = store();
    let mut first = store.begin_upload("a-1").unwrap();
    assert!(store.begin_upload("a-1").is_err(), "the name is taken");
    first.write(b"hello ").unwrap();
    drop(first);
    assert_eq!(store.upload_bytes("a-1"), Some(6));
    store.sweep(SystemTime::UNIX_EPOCH).unwrap();
    let mut second = open(folder.path()).resume_upload("a-1").unwrap().unwrap();
    assert_eq!((second.offset(), second.digest()), (6, Digest::of(b"hello ")));
    second.write(b"world").unwrap();
    let digest = second.commit(Some(&Digest::of(b"hello world")), Some(11)).unwrap();
    assert_eq!(store.read(&digest, 100).unwrap().unwrap(), b"hello world");
    assert!(store.resume_upload("a-1").unwrap().is_none());
    assert_eq!((store.upload_bytes("a-1"), partial(&folder)), (None, 0));
    drop(store.begin_upload("b").unwrap());
    let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
    assert_eq!(store.sweep(later).unwrap(), 1, "old ones go");
}

#[test]
fn stores_on_one_machine_share_files() {
    use std::os::unix::fs::MetadataExt;
    let (_one, first) = store();
    let folder = TempDir::new_in(_one.path()).unwrap();
    let second = open(folder.path());
    let digest = first.put(b"layer").unwrap();
    assert!(second.share(&first, &digest).unwrap());
    assert!(second.share(&first, &digest).unwrap(), "again is no error");
    let inode = |store: &Store| fs::metadata(store.path(&digest)).unwrap().ino();
    assert_eq!(inode(&first), inode(&second));
    first.delete(&digest).unwrap();
    assert_eq!(second.read(&digest, 5).unwrap().unwrap(), b"layer");
    assert!(!second.share(&first, &Digest::of(b"none")).unwrap());
    // What came is let go if a sibling has it, after it was checked.
    let mut again = first.begin_upload("again").unwrap();
    again.write(b"layer").unwrap();
    again.commit_sharing(Some(&digest), None, std::slice::from_ref(&second)).unwrap();
    assert_eq!(inode(&first), inode(&second));
    let mut wrong = first.begin_upload("wrong").unwrap();
    wrong.write(b"other").unwrap();
    assert!(wrong.commit_sharing(Some(&digest), None, &[second]).is_err());
}
