//! PAX extended headers: records of `length key=value`.

use super::{TarError, broken};

/// How many extended attributes one entry may have.
const XATTRS_MAX: usize = 256;
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What extended headers say about one entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) modified: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: SparseRecords,
}

/// GNU's records about sparse files.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) real_size: Option<u64>,
    /// Format 0.1: `offset,length,…`.
    pub(super) map: Option<Vec<u8>>,
    pub(super) name: Option<Vec<u8>>,
}

impl Pax {
    /// Takes in the records of one extended header; later ones win.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        while !records.is_empty() {
            let (record, rest) = split_record(records)?;
            records = rest;
            let equals = record.iter().position(|&b| b == b'=');
            let (key, value) = match equals {
                Some(at) => (&record[..at], &record[at + 1..]),
                None => return Err(broken("an extended header has a record without '='")),
            };
            self.take(key, value)?;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        match key {
            b"path" => self.path = text(value),
            b"linkpath" => self.link = text(value),
            b"size" => self.size = Some(decimal(value, "size")?),
            b"uid" => self.uid = Some(decimal(value, "uid")?),
            b"gid" => self.gid = Some(decimal(value, "gid")?),
            b"mtime" => self.modified = Some(seconds(value)?),
            b"GNU.sparse.major" => self.sparse.major = Some(decimal(value, "GNU.sparse.major")?),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.real_size = Some(decimal(value, "GNU.sparse.realsize")?);
            }
            b"GNU.sparse.map" => self.sparse.map = text(value),
            b"GNU.sparse.name" => self.sparse.name = text(value),
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    if self.xattrs.len() >= XATTRS_MAX {
                        let problem = format!("an entry has over {XATTRS_MAX} attributes");
                        return Err(broken(problem));
                    }
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// These records, and for what they leave out those of the global headers.
    pub(super) fn over(mut self, global: &Self) -> Self {
        self.path = self.path.or_else(|| global.path.clone());
        self.link = self.link.or_else(|| global.link.clone());
        self.size = self.size.or(global.size);
        self.uid = self.uid.or(global.uid);
        self.gid = self.gid.or(global.gid);
        self.modified = self.modified.or(global.modified);
        self
    }
}

/// An empty value takes a record back.
fn text(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

/// `length key=value\n`, the length counting all of it.
fn split_record(records: &[u8]) -> Result<(&[u8], &[u8]), TarError> {
    let error = || broken("an extended header's record has a wrong length");
    let blank = records.iter().position(|&b| b == b' ').ok_or_else(error)?;
    let length = decimal(&records[..blank], "record length")?;
    let length = usize::try_from(length).map_err(|_| error())?;
    if length <= blank + 1 || length > records.len() || records[length - 1] != b'\n' {
        return Err(error());
    }
    Ok((&records[blank + 1..length - 1], &records[length..]))
}

pub(super) fn decimal(digits: &[u8], what: &str) -> Result<u64, TarError> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = if is_number { std::str::from_utf8(digits).ok() } else { None };
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| broken(format!("an extended header's {what} is not a number")))
}

/// `[-]seconds[.fraction]`.
fn seconds(value: &[u8]) -> Result<(i64, u32), TarError> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = value.iter().position(|&b| b == b'.').unwrap_or(value.len());
    let whole = i64::try_from(decimal(&value[..dot], "mtime")?).unwrap_or(i64::MAX);
    let mut nanos = 0;
    let mut unit = 100_000_000;
    for &digit in value.iter().skip(dot + 1) {
        if !digit.is_ascii_digit() {
            return Err(broken("an extended header's mtime is not a number"));
        }
        nanos += u32::from(digit - b'0') * unit;
        unit /= 10;
    }
    match (is_negative, nanos) {
        (false, _) => Ok((whole, nanos)),
        (true, 0) => Ok((-whole, 0)),
        (true, _) => Ok((-whole - 1, 1_000_000_000 - nanos)),
    }
}
