//! As much of SQLite's file format as it takes to read one column of blobs of one table (its
//! documentation, "Database File Format"). What a write-ahead log beside the file has is not seen.

use crate::{PACKAGES_MAX, ReadError, malformed};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes before the first page's own header.
const FILE_HEADER_BYTES: usize = 100;
const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0d;
/// The columns of the schema's table: type, name, table, root page, statement.
const SCHEMA_NAME: usize = 1;
const SCHEMA_ROOT: usize = 3;

struct File<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    /// A page without what is reserved at its end.
    usable: usize,
}

/// A value of a record.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// One column of all rows of a table; what is no blob or text is left out.
pub(super) fn column(bytes: &[u8], table: &str, column: usize) -> Result<Vec<Vec<u8>>, ReadError> {
    let broken = || ReadError::Malformed("rpm's data base is no whole SQLite file".to_owned());
    let file = File::open(bytes).ok_or_else(broken)?;
    let mut root = None;
    for row in file.rows(1).ok_or_else(broken)? {
        let (name, page) = (value(&row, SCHEMA_NAME), value(&row, SCHEMA_ROOT));
        if let (Some(Value::Bytes(name)), Some(Value::Number(page))) = (name, page)
            && name == table.as_bytes()
        {
            root = Some(page);
        }
    }
    let Some(root) = root.and_then(|page| usize::try_from(page).ok()) else {
        return malformed(format!("rpm's data base has no table {table}"));
    };
    let rows = file.rows(root).ok_or_else(broken)?;
    let blobs = rows.iter().filter_map(|row| match value(row, column) {
        Some(Value::Bytes(bytes)) => Some(bytes.to_vec()),
        _ => None,
    });
    Ok(blobs.collect())
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let page_bytes = match u16::from_be_bytes(bytes.get(16..18)?.try_into().ok()?) {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => usize::from(size),
            _ => return None,
        };
        let usable = page_bytes.checked_sub(usize::from(*bytes.get(20)?))?;
        (usable >= 480).then_some(Self { bytes, page_bytes, usable })
    }

    fn pages(&self) -> usize {
        self.bytes.len() / self.page_bytes
    }

    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let from = number.checked_sub(1)?.checked_mul(self.page_bytes)?;
        self.bytes.get(from..from.checked_add(self.usable)?)
    }

    /// The records of a table, by its root page.
    fn rows(&self, root: usize) -> Option<Vec<Vec<u8>>> {
        let (mut waiting, mut seen, mut rows) = (vec![root], 0, Vec::new());
        let mut gathered = 0;
        while let Some(number) = waiting.pop() {
            seen += 1;
            // Pages that lead in a circle.
            if seen > self.pages() || rows.len() > PACKAGES_MAX {
                return None;
            }
            let page = self.page(number)?;
            let header = if number == 1 { FILE_HEADER_BYTES } else { 0 };
            let kind = *page.get(header)?;
            let cells = usize::from(short(page, header + 3)?);
            let places = header + if kind == INTERIOR { 12 } else { 8 };
            for cell in 0..cells {
                let at = usize::from(short(page, places + 2 * cell)?);
                match kind {
                    INTERIOR => waiting.push(long(page, at)?),
                    LEAF => {
                        let record = self.record(page, at)?;
                        // Rows that share their bytes.
                        gathered += record.len();
                        if gathered > self.bytes.len() {
                            return None;
                        }
                        rows.push(record);
                    }
                    _ => return None,
                }
            }
            match kind {
                INTERIOR => waiting.push(long(page, header + 8)?),
                LEAF => {}
                _ => return None,
            }
        }
        Some(rows)
    }

    /// A record, with what overflows the page.
    fn record(&self, page: &[u8], at: usize) -> Option<Vec<u8>> {
        let cell = page.get(at..)?;
        let (length, rest) = varint(cell)?;
        let (_, rest) = varint(rest)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.bytes.len())?;
        let (most, least) = (self.usable - 35, (self.usable - 12) * 32 / 255 - 23);
        let here = match length <= most {
            true => length,
            false => {
                let wished = least + (length - least) % (self.usable - 4);
                if wished <= most { wished } else { least }
            }
        };
        let mut record = rest.get(..here)?.to_vec();
        let mut next = if here < length { long(rest, here)? } else { 0 };
        while record.len() < length {
            let page = self.page(next)?;
            let more = (length - record.len()).min(self.usable - 4);
            record.extend_from_slice(page.get(4..4 + more)?);
            next = long(page, 0)?;
        }
        Some(record)
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    usize::try_from(number).ok()
}

/// A number of one to nine bytes.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            return Some((number << 8 | u64::from(*byte), &bytes[9..]));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

/// A record's value in a column.
fn value(record: &[u8], column: usize) -> Option<Value<'_>> {
    let (header_bytes, rest) = varint(record)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let mut types = record.get(record.len() - rest.len()..header_bytes)?;
    let mut body = record.get(header_bytes..)?;
    for index in 0.. {
        let (kind, rest) = varint(types)?;
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            kind => usize::try_from((kind - 12) / 2).ok()?,
        };
        let (bytes, after) = body.split_at_checked(length)?;
        if index == column {
            return Some(match kind {
                8 => Value::Number(0),
                9 => Value::Number(1),
                1..=6 => {
                    Value::Number(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
                }
                kind if kind >= 12 => Value::Bytes(bytes),
                _ => return None,
            });
        }
        body = after;
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rpm::header::tests::package;

    const PAGE: usize = 512;

    fn put_varint(number: u64) -> Vec<u8> {
        let mut bytes = vec![(number & 0x7f) as u8];
        let mut rest = number >> 7;
        while rest > 0 {
            bytes.insert(0, (rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes
    }

    fn record(values: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let types: Vec<u8> = values.iter().flat_map(|(kind, _)| put_varint(*kind)).collect();
        // One byte for its own length does for what is written here.
        let mut bytes = vec![(types.len() + 1) as u8];
        bytes.extend(types);
        values.iter().for_each(|(_, value)| bytes.extend_from_slice(value));
        bytes
    }

    /// A file with a table of blobs, one leaf a row, below one interior page.
    fn file(blobs: &[Vec<u8>]) -> Vec<u8> {
        let mut pages = vec![vec![0; PAGE], vec![0; PAGE]];
        let mut leaves = Vec::new();
        for blob in blobs {
            let row = record(&[(0, Vec::new()), (blob.len() as u64 * 2 + 12, blob.clone())]);
            let number = pages.len() + 1;
            leaves.push(number);
            pages.push(vec![0; PAGE]);
            let (most, least) = (PAGE - 35, (PAGE - 12) * 32 / 255 - 23);
            let here = if row.len() <= most {
                row.len()
            } else {
                let wished = least + (row.len() - least) % (PAGE - 4);
                if wished <= most { wished } else { least }
            };
            let mut cell = [put_varint(row.len() as u64), put_varint(number as u64)].concat();
            cell.extend_from_slice(&row[..here]);
            if here < row.len() {
                cell.extend_from_slice(&(pages.len() as u32 + 1).to_be_bytes());
            }
            leaf(&mut pages[number - 1], 0, &[cell]);
            let mut rest = &row[here..];
            while !rest.is_empty() {
                let (part, after) = rest.split_at(rest.len().min(PAGE - 4));
                let next = if after.is_empty() { 0 } else { pages.len() as u32 + 2 };
                let mut page = next.to_be_bytes().to_vec();
                page.extend_from_slice(part);
                page.resize(PAGE, 0);
                pages.push(page);
                rest = after;
            }
        }
        let schema = record(&[
            (5 * 2 + 13, b"table".to_vec()),
            (8 * 2 + 13, b"Packages".to_vec()),
            (8 * 2 + 13, b"Packages".to_vec()),
            (1, vec![2]),
            (13, Vec::new()),
        ]);
        let cell = [put_varint(schema.len() as u64), vec![1], schema].concat();
        pages[0][..16].copy_from_slice(MAGIC);
        pages[0][16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
        leaf(&mut pages[0], FILE_HEADER_BYTES, &[cell]);
        match leaves.split_last() {
            None => leaf(&mut pages[1], 0, &[]),
            Some((last, others)) => interior(&mut pages[1], others, *last),
        }
        pages.concat()
    }

    fn leaf(page: &mut [u8], header: usize, cells: &[Vec<u8>]) {
        page[header] = LEAF;
        page[header + 3..header + 5].copy_from_slice(&(cells.len() as u16).to_be_bytes());
        let mut end = PAGE;
        for (number, cell) in cells.iter().enumerate() {
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(cell);
            let at = header + 8 + 2 * number;
            page[at..at + 2].copy_from_slice(&(end as u16).to_be_bytes());
        }
    }

    fn interior(page: &mut [u8], children: &[usize], last: usize) {
        page[0] = INTERIOR;
        page[3..5].copy_from_slice(&(children.len() as u16).to_be_bytes());
        page[8..12].copy_from_slice(&(last as u32).to_be_bytes());
        let mut end = PAGE;
        for (number, child) in children.iter().enumerate() {
            end -= 5;
            page[end..end + 4].copy_from_slice(&(*child as u32).to_be_bytes());
            let at = 12 + 2 * number;
            page[at..at + 2].copy_from_slice(&(end as u16).to_be_bytes());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packages in prop::collection::vec(
                ("[a-z]{1,8}", "[0-9]{1,3}", prop::option::of(1..4_u32), 0..1_500_usize),
                0..20,
            ),
            wrong in 0..4_000_usize,
            byte in any::<u8>(),
        ) {
            let (mut blobs, mut expected) = (Vec::new(), Vec::new());
            for (name, version, epoch, more) in &packages {
                let (mut blob, package) = package(name, version, *epoch);
                // What follows a header is nobody's.
                blob.resize(blob.len() + more, 7);
                blobs.push(blob);
                expected.push(package);
            }
            let mut bytes = file(&blobs);
            let mut found = crate::rpm::read(&bytes).unwrap();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
            let at = wrong % bytes.len();
            bytes[at] = byte;
            let _ = crate::rpm::read(&bytes);
            let _ = crate::rpm::read(&bytes[..at]);
        }
    }
}
