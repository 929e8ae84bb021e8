//! The embedded store's directory: in use, too new, torn, damaged, full.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ledger::{EmbeddedStore, LedgerError, StoreError, TransactError};

use crate::world::{World, key, run, ship};

fn open(dir: &Path) -> World {
    World::open(Box::new(EmbeddedStore::open(dir).unwrap()))
}

fn refusal(dir: &Path) -> String {
    EmbeddedStore::open(dir).unwrap_err().to_string()
}

#[test]
fn a_directory_in_use_names_its_user() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let world = open(dir);
    let expected = format!(
        "{} is in use by process {}; stop that process or choose another data directory",
        dir.display(),
        std::process::id()
    );
    assert_eq!(refusal(dir), expected);
    drop(world);
    open(dir);
}

#[test]
fn nobody_else_may_look_inside() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("data/ledger");
    drop(open(&dir));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    run(open(dir).put(key("red", 1), ship("Oslo", 1)));
    let format = dir.join("format");
    let ours = fs::read_to_string(&format).unwrap();
    assert_eq!(ours, "longshore-ledger 1\n");
    fs::write(&format, "longshore-ledger 2\n").unwrap();
    let expected = format!(
        "{} has ledger format 2, this program reads up to 1; use a newer longshore",
        dir.display()
    );
    assert_eq!(refusal(dir), expected);
    fs::write(&format, "something else").unwrap();
    assert!(refusal(dir).contains("the file 'format'"), "{}", refusal(dir));
    fs::remove_file(&format).unwrap();
    assert!(refusal(dir).contains("missing"), "{}", refusal(dir));
    fs::write(&format, ours).unwrap();
    assert_eq!(open(dir).all().len(), 1);
}

#[test]
fn a_path_that_cannot_be_a_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).contains(&file.display().to_string()), "{}", refusal(&file));
}

/// The journal, and where its last written byte lies (the rest of the file is zeros).
fn journal(dir: &Path) -> (PathBuf, u64) {
    let files = fs::read_dir(dir.join("rows")).unwrap().map(|entry| entry.unwrap().path());
    let path = files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap();
    let bytes = fs::read(&path).unwrap();
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    (path, last as u64)
}

#[test]
fn a_torn_last_batch_is_dropped_and_the_rest_kept() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let world = open(dir);
    run(world.put(key("red", 1), ship("Oslo", 1)));
    let (path, kept) = journal(dir);
    run(world.put(key("red", 2), ship("Oslo", 2)));
    let (_, last) = journal(dir);
    drop(world);
    // The batch lies behind `kept`; the kernel wrote some of it, and then there was no more power.
    let whole = fs::read(&path).unwrap();
    for cut in [kept + 2, (kept + last) / 2, last - 1] {
        for zeros in [false, true] {
            fs::write(&path, &whole).unwrap();
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            if zeros {
                let rest = usize::try_from(last + 1 - cut).unwrap();
                file.write_all_at(&vec![0; rest], cut).unwrap();
            } else {
                file.set_len(cut).unwrap();
            }
            drop(file);
            let world = open(dir);
            assert_eq!(world.all(), [(key("red", 1), ship("Oslo", 1))], "cut at {cut}");
            assert_eq!(run(world.put(key("red", 3), ship("Oslo", 3))), 2);
            drop(world);
            assert_eq!(open(dir).all().len(), 2);
        }
    }
}

#[test]
fn a_damaged_row_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    run(open(dir).put(key("red", 1), ship("Reykjavik", 1)));
    let (path, _) = journal(dir);
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|text| text == b"Reykjavik").unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"r", at as u64).unwrap();
    assert!(refusal(dir).contains("the database"), "{}", refusal(dir));
}

/// A small disk of its own, where the test may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(directory.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(directory)),
            _ => None,
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_called_so_and_what_was_acknowledged_stays() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: mounting a small disk needs root");
        return;
    };
    let dir = disk.0.path().join("ledger");
    let world = open(&dir);
    let big = "x".repeat(100_000);
    let (written, error) = run(async {
        for number in 0..200 {
            let put = world.ledger.transact("put", |tx| {
                tx.put(&world.ships, key("red", number), ship(&big, 0));
                Ok::<_, ()>(())
            });
            if let Err(error) = put.await {
                return (number, error);
            }
        }
        panic!("six megabytes hold no twenty");
    });
    let TransactError::Ledger(error @ LedgerError::StoreFailed(_)) = error else {
        panic!("{error:?}");
    };
    let cause = error.source().unwrap().downcast_ref::<std::sync::Arc<StoreError>>();
    assert!(matches!(cause.map(|cause| &**cause), Some(StoreError::Full { .. })), "{error}");
    drop(world);

    // With some space again, all that was acknowledged is there.
    let remount =
        Command::new("mount").args(["-o", "remount,size=200m"]).arg(disk.0.path()).status();
    assert!(remount.unwrap().success());
    let left = open(&dir).all().len();
    assert!(left >= written as usize, "{left} of {written}");
}
