//! How tables lie in etcd's keys.
//!
//! Everything stands under one prefix:
//!
//! | key | value |
//! | --- | --- |
//! | `format` | the number of this layout, as text |
//! | `head` | [`HeadRecord`]: the revision of the last commit; written by every commit, last |
//! | `leader` | [`Announcement`] of the leader, under its lease |
//! | `members/NAME` | [`Announcement`] of each server that lives, under its lease |
//! | `rows/TABLE 00 KEY` | a row: [`encode_row`] |
//! | `staged/TERM REVISION NUMBER` | a part of a commit too large for one transaction |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::role::Member;
use crate::state::Revision;
use crate::store::{LoadedRow, StoredRow, Write};

/// The layout's number. A change raises it and says here what the older one was.
///
/// - 1: as above.
pub(crate) const FORMAT: u32 = 1;

/// The form of rows and of staged parts, their first byte.
const ROW_FORM: u8 = 1;
/// The form of the head, its first byte.
const HEAD_FORM: u8 = 1;

/// The keys under one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Vec<u8>,
}

/// What a key is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Head,
    Leader,
    Member(&'a str),
    Row { table: &'a str, key: &'a [u8] },
    Staged(StagedKey),
    Other,
}

/// Names a part of a staged commit: who wrote it, for which revision, which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StagedKey {
    pub(crate) term: i64,
    pub(crate) revision: Revision,
    pub(crate) number: u32,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{}/", prefix.trim_end_matches('/')).into_bytes() }
    }

    pub(crate) fn all(&self) -> &[u8] {
        &self.prefix
    }

    fn key(&self, parts: &[&[u8]]) -> Vec<u8> {
        let length = self.prefix.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut key = Vec::with_capacity(length);
        key.extend_from_slice(&self.prefix);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    pub(crate) fn format(&self) -> Vec<u8> {
        self.key(&[b"format"])
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        self.key(&[b"head"])
    }

    pub(crate) fn leader(&self) -> Vec<u8> {
        self.key(&[b"leader"])
    }

    pub(crate) fn member(&self, name: &str) -> Vec<u8> {
        self.key(&[b"members/", name.as_bytes()])
    }

    pub(crate) fn row(&self, table: &str, key: &[u8]) -> Vec<u8> {
        self.key(&[b"rows/", table.as_bytes(), &[0], key])
    }

    pub(crate) fn all_staged(&self) -> Vec<u8> {
        self.key(&[b"staged/"])
    }

    pub(crate) fn staged(&self, key: StagedKey) -> Vec<u8> {
        let StagedKey { term, revision, number } = key;
        let (term, revision, number) =
            (term.to_be_bytes(), revision.to_be_bytes(), number.to_be_bytes());
        self.key(&[b"staged/", &term, &revision, &number])
    }

    /// The parts of one staged commit.
    pub(crate) fn all_staged_of(&self, term: i64, revision: Revision) -> Vec<u8> {
        self.key(&[b"staged/", &term.to_be_bytes(), &revision.to_be_bytes()])
    }

    pub(crate) fn place<'a>(&self, key: &'a [u8]) -> Place<'a> {
        let Some(rest) = key.strip_prefix(self.prefix.as_slice()) else { return Place::Other };
        match rest {
            b"head" => return Place::Head,
            b"leader" => return Place::Leader,
            _ => {}
        }
        if let Some(row) = rest.strip_prefix(b"rows/") {
            return row_place(row).unwrap_or(Place::Other);
        }
        if let Some(name) = rest.strip_prefix(b"members/") {
            return std::str::from_utf8(name).map_or(Place::Other, Place::Member);
        }
        let staged = rest.strip_prefix(b"staged/").and_then(StagedKey::read);
        staged.map_or(Place::Other, Place::Staged)
    }
}

fn row_place(row: &[u8]) -> Option<Place<'_>> {
    let end = row.iter().position(|&byte| byte == 0)?;
    Some(Place::Row { table: std::str::from_utf8(&row[..end]).ok()?, key: &row[end + 1..] })
}

impl StagedKey {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (term, rest) = bytes.split_first_chunk()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let number = rest.try_into().ok()?;
        Some(Self {
            term: i64::from_be_bytes(*term),
            revision: Revision::from_be_bytes(*revision),
            number: u32::from_be_bytes(number),
        })
    }
}

/// The first key behind all that begin with `prefix`.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff).expect("our prefixes are text");
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end
}

/// The state of the whole: no two commits leave the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HeadRecord {
    /// The revision of the last commit.
    pub(crate) revision: Revision,
    /// The term of the leader who wrote this: the etcd revision that created its key.
    pub(crate) term: i64,
    /// So many staged parts, of this term and revision, hold over the rows; 0 when none do.
    pub(crate) staged: u32,
}

impl HeadRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(21);
        bytes.push(HEAD_FORM);
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(&self.term.to_be_bytes());
        bytes.extend_from_slice(&self.staged.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&form, rest) = bytes.split_first()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (term, rest) = rest.split_first_chunk()?;
        let staged = rest.try_into().ok()?;
        (form == HEAD_FORM).then_some(Self {
            revision: Revision::from_be_bytes(*revision),
            term: i64::from_be_bytes(*term),
            staged: u32::from_be_bytes(staged),
        })
    }
}

/// What a server tells the others about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) member: Member,
    /// The newest layout that it reads.
    pub(crate) format: u32,
    /// For each of its tables the newest record version that it reads.
    pub(crate) records: BTreeMap<String, u16>,
}

impl Announcement {
    pub(crate) fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("texts and numbers have a MessagePack form")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok()
    }

    /// Whether what this server writes may be unreadable to `other`: then it leaves the lead to
    /// it. Two servers of which each reads something newer do not wait for each other.
    pub(crate) fn outruns(&self, other: &Self) -> bool {
        let newer = |one: &Self, other: &Self| {
            one.format > other.format
                || one.records.iter().any(|(table, version)| {
                    other.records.get(table).is_some_and(|others| version > others)
                })
        };
        newer(self, other) && !newer(other, self)
    }
}

/// A row: its form, `created`, `version` and the record's version as variable-length numbers,
/// then the body.
pub(crate) fn encode_row(row: &StoredRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 10 + 10 + 3 + row.body.len());
    bytes.push(ROW_FORM);
    put_number(&mut bytes, row.created);
    put_number(&mut bytes, row.version);
    put_number(&mut bytes, u64::from(row.record_version));
    bytes.extend_from_slice(&row.body);
    bytes
}

/// A row read back; `None` when the bytes are no row.
pub(crate) fn decode_row<'a>(
    table: &'a str,
    key: &'a [u8],
    bytes: &'a [u8],
) -> Option<LoadedRow<'a>> {
    let mut rest = bytes.strip_prefix(&[ROW_FORM])?;
    let created = take_number(&mut rest)?;
    let version = take_number(&mut rest)?;
    let record_version = u16::try_from(take_number(&mut rest)?).ok()?;
    Some(LoadedRow { table, key, created, version, record_version, body: rest })
}

/// One write of a staged part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StagedWrite<'a> {
    pub(crate) table: &'a str,
    pub(crate) key: &'a [u8],
    /// The encoded row, or `None` when it is deleted.
    pub(crate) row: Option<&'a [u8]>,
}

/// Appends a write to a staged part: table, key and row, each behind its length; the row's
/// length is one more than it is, and 0 for a deletion.
pub(crate) fn stage_write(part: &mut Vec<u8>, write: &Write) {
    let mut text = |bytes: &[u8]| {
        put_number(part, bytes.len() as u64);
        part.extend_from_slice(bytes);
    };
    text(write.table.as_bytes());
    text(&write.key);
    match &write.row {
        None => put_number(part, 0),
        Some(row) => {
            let row = encode_row(row);
            put_number(part, row.len() as u64 + 1);
            part.extend_from_slice(&row);
        }
    }
}

/// The writes of a staged part; `None` when the bytes are none.
pub(crate) fn staged_writes(mut part: &[u8]) -> Option<Vec<StagedWrite<'_>>> {
    let mut writes = Vec::new();
    while !part.is_empty() {
        let table = std::str::from_utf8(take_bytes(&mut part)?).ok()?;
        let key = take_bytes(&mut part)?;
        let row = match take_number(&mut part)? {
            0 => None,
            length => Some(take(&mut part, length - 1)?),
        };
        writes.push(StagedWrite { table, key, row });
    }
    Some(writes)
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(bytes)?;
    take(bytes, length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(created: u64, version: u64, record_version: u16, body: &[u8]) -> StoredRow {
        StoredRow { created, version, record_version, body: body.into() }
    }

    #[test]
    fn keys_are_told_apart() {
        let keys = Keys::new("/longshore/");
        let staged = StagedKey { term: 7, revision: 300, number: 2 };
        let check = |key: Vec<u8>, expected: Place<'_>| assert_eq!(keys.place(&key), expected);
        check(keys.head(), Place::Head);
        check(keys.leader(), Place::Leader);
        check(keys.format(), Place::Other);
        check(keys.member("a/b"), Place::Member("a/b"));
        check(keys.row("ecs.tasks", b"\0a\0"), Place::Row { table: "ecs.tasks", key: b"\0a\0" });
        check(keys.staged(staged), Place::Staged(staged));
        check(b"/other/head".to_vec(), Place::Other);
        assert!(keys.staged(staged).starts_with(&keys.all_staged_of(7, 300)));
        assert_eq!(behind(b"/a/"), b"/a0");
    }

    #[test]
    fn rows_and_heads_read_back() {
        for row in [row(0, 0, 1, b""), row(127, 128, 2, b"x"), row(u64::MAX, 1, u16::MAX, b"yz")] {
            let bytes = encode_row(&row);
            let read = decode_row("t", b"k", &bytes).unwrap();
            assert_eq!((read.created, read.version), (row.created, row.version));
            assert_eq!((read.record_version, read.body), (row.record_version, &*row.body));
        }
        for bytes in [&b""[..], &[ROW_FORM], &[9, 1, 1, 1], &[ROW_FORM, 0x80]] {
            assert!(decode_row("t", b"k", bytes).is_none(), "{bytes:?}");
        }
        let head = HeadRecord { revision: 5, term: 9, staged: 3 };
        assert_eq!(HeadRecord::decode(&head.encode()), Some(head));
        assert_eq!(HeadRecord::decode(&[2; 21]), None);
    }

    #[test]
    fn staged_parts_read_back() {
        let writes = [
            Write { table: "a", key: b"1"[..].into(), row: Some(row(1, 2, 3, b"body")) },
            Write { table: "b", key: vec![9; 200].into(), row: None },
            Write { table: "b", key: b""[..].into(), row: Some(row(1, 1, 1, b"")) },
        ];
        let mut part = Vec::new();
        writes.iter().for_each(|write| stage_write(&mut part, write));
        let read = staged_writes(&part).unwrap();
        assert_eq!(read.len(), 3);
        for (write, read) in writes.iter().zip(&read) {
            assert_eq!((write.table, &*write.key), (read.table, read.key));
            assert_eq!(write.row.as_ref().map(encode_row).as_deref(), read.row);
        }
        assert!(staged_writes(&part[..part.len() - 1]).is_none());
    }

    #[test]
    fn a_newer_server_leaves_the_lead_to_an_older_one() {
        let announce = |format, records: &[(&str, u16)]| Announcement {
            member: Member { name: "a".to_owned(), url: String::new() },
            format,
            records: records
                .iter()
                .map(|(table, version)| ((*table).to_owned(), *version))
                .collect(),
        };
        let check = |one: &Announcement, other: &Announcement, expected| {
            assert_eq!(one.outruns(other), expected, "{one:?} {other:?}");
        };
        let (old, new) = (announce(1, &[("t", 1)]), announce(1, &[("t", 2), ("u", 1)]));
        check(&old, &old, false);
        check(&new, &old, true);
        check(&old, &new, false);
        check(&announce(2, &[("t", 1)]), &old, true);
        check(&announce(2, &[("t", 1)]), &new, false);
        check(&announce(1, &[("u", 9)]), &old, false);
    }
}
