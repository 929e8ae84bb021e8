#![allow(clippy::unwrap_used)]

use std::io::Read;

use proptest::prelude::*;
use stage::Sample;

use super::{Kind, Piece, TarReader};

/// Names, kinds and data of all entries, or the first error.
fn read(tar: &[u8]) -> Result<Vec<(String, Kind, Vec<u8>)>, String> {
    let mut reader = TarReader::new(tar);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).map_err(|error| error.to_string())?;
        found.push((String::from_utf8_lossy(&entry.name).into_owned(), entry.kind, data));
    }
    Ok(found)
}

fn names(tar: &[u8]) -> Vec<String> {
    read(tar).unwrap().into_iter().map(|(name, ..)| name).collect()
}

#[test]
fn entries_come_in_order_with_their_data() {
    let tar = Sample::new().folder("a/").file("a/b", b"hello").symlink("c", "a/b").done();
    let expected = [
        ("a/".to_owned(), Kind::Directory, b"".to_vec()),
        ("a/b".to_owned(), Kind::File, b"hello".to_vec()),
        ("c".to_owned(), Kind::SymLink, b"".to_vec()),
    ];
    assert_eq!(read(&tar).unwrap(), expected);
}

#[test]
fn a_tar_may_lack_its_end_mark_but_not_a_part_of_an_entry() {
    let tar = Sample::new().file("a", &[7; 700]).done();
    assert_eq!(read(&tar[..512 + 1024]).unwrap().len(), 1);
    assert_eq!(read(&tar[..512 + 700]).unwrap().len(), 1, "padding may be missing");
    assert!(read(&tar[..512 + 699]).unwrap_err().contains("middle of an entry's data"));
    assert!(read(&tar[..300]).unwrap_err().contains("middle of a header"));
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn long_names_are_read_in_both_forms() {
    let long = format!("{}/end", "part/".repeat(60));
    let gnu = Sample::new().entry(b'L', "././@LongLink", "", long.as_bytes()).file("cut", b"x");
    assert_eq!(names(&gnu.done()), std::slice::from_ref(&long));
    let pax = Sample::new().pax(&[("path", long.as_bytes())]).file("cut", b"x");
    assert_eq!(names(&pax.done()), [long]);
}

#[test]
fn global_records_hold_for_all_and_local_ones_win() {
    let records = b"10 uid=77\n";
    let tar = Sample::new()
        .entry(b'g', "global", "", records)
        .file("a", b"")
        .pax(&[("uid", b"5"), ("mtime", b"-1.5")])
        .file("b", b"")
        .done();
    let mut reader = TarReader::new(&tar[..]);
    let first = reader.next_entry().unwrap().unwrap();
    assert_eq!((first.uid, first.modified), (77, (1_700_000_000, 0)));
    let second = reader.next_entry().unwrap().unwrap();
    assert_eq!((second.uid, second.modified), (5, (-2, 500_000_000)));
}

#[test]
fn broken_headers_are_refused() {
    let mut tar = Sample::new().file("a", b"").done();
    tar[0] = b'b';
    assert!(read(&tar).unwrap_err().contains("checksum"));
    assert!(read(&[b'x'; 4096]).unwrap_err().contains("checksum"));
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().size.copy_from_slice(b"99999999999\0");
    assert!(read(&Sample::new().header(header, b"").done()).unwrap_err().contains("size"));
}

#[test]
fn huge_extended_headers_take_no_memory() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(b'L'));
    header.set_size(1 << 40);
    assert!(read(&Sample::new().header(header, b"").done()).unwrap_err().contains("at most"));
    let mut sample = Sample::new();
    for _ in 0..20 {
        sample = sample.entry(b'L', "l", "", b"name");
    }
    assert!(read(&sample.file("a", b"").done()).unwrap_err().contains("extended headers"));
}

#[test]
fn broken_pax_records_are_refused() {
    let check = |records: &[u8], part: &str| {
        let tar = Sample::new().entry(b'x', "pax", "", records).file("a", b"").done();
        let error = read(&tar).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    check(b"99 path=a\n", "wrong length");
    check(b"4 a\n", "without '='");
    check(b"12 size=abc\n", "not a number");
    check(b"0 x=y\n", "wrong length");
    check(b"xyz", "wrong length");
}

#[test]
fn sparse_files_tell_where_their_data_goes() {
    let map = b"2\n0\n5\n1000000\n5\n";
    let mut data = map.to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"helloworld");
    let tar = Sample::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"real"),
            ("GNU.sparse.realsize", b"2000000"),
        ])
        .file("GNUSparseFile.0/real", &data)
        .done();
    let mut reader = TarReader::new(&tar[..]);
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!((entry.name.as_slice(), entry.size_bytes), (&b"real"[..], 2_000_000));
    let pieces = [Piece { offset: 0, length: 5 }, Piece { offset: 1_000_000, length: 5 }];
    assert_eq!(entry.pieces.unwrap(), pieces);
    let mut data = Vec::new();
    reader.read_to_end(&mut data).unwrap();
    assert_eq!(data, b"helloworld");
}

#[test]
fn impossible_sparse_maps_are_refused() {
    let check = |map: &[u8], part: &str| {
        let tar = Sample::new()
            .pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", b"100")])
            .file("a", b"0123456789")
            .done();
        let error = read(&tar).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    check(b"0,5,3,5", "overlap");
    check(b"0,5,96,5", "beyond its end");
    check(b"0,5,18446744073709551615,5", "beyond its end");
    check(b"0,5", "as long as its data");
    check(b"0,5,50", "odd number");
    check(b"a,b", "not a number");
}

proptest! {
    /// What the tar crate writes is read back the same.
    #[test]
    fn tars_of_another_writer_are_read(
        files in prop::collection::vec(("[a-z]{1,12}(/[a-zé ]{1,60}){0,4}", prop::collection::vec(any::<u8>(), 0..1500)), 0..8)
    ) {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in &files {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, &data[..]).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let found: Vec<_> = read(&tar).unwrap().into_iter().map(|(n, _, d)| (n, d)).collect();
        prop_assert_eq!(found, files);
    }

    /// Whatever comes, the reader ends, and without a panic.
    #[test]
    fn noise_is_no_danger(noise in prop::collection::vec(any::<u8>(), 0..4096), at in 0_usize..1536, byte: u8) {
        let _ = read(&noise);
        let mut tar = Sample::new().pax(&[("path", b"x")]).file("a", &[1; 100]).done();
        tar[at] = byte;
        let _ = read(&tar);
    }
}
