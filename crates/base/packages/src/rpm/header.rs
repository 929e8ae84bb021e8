//! A package's header (rpm's manual, "Package format: header structure"): an index of tags, and their data.

use crate::{Ecosystem, Package, ReadError, Source, malformed};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;
const SOURCE: u32 = 1044;
/// Types of data.
const INT32: u32 = 4;
const STRING: u32 = 6;
/// One entry of the index, in bytes.
const ENTRY_BYTES: usize = 16;
/// Keys that were trusted are in the data base as packages of this name.
const KEYS: &str = "gpg-pubkey";

struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

impl<'a> Header<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let (entries, length) = (number(bytes, 0)?, number(bytes, 4)?);
        let index_bytes = usize::try_from(entries).ok()?.checked_mul(ENTRY_BYTES)?;
        let rest = bytes.get(8..)?;
        let (index, data) = rest.split_at_checked(index_bytes)?;
        Some(Self { index, data: data.get(..usize::try_from(length).ok()?)? })
    }

    /// Where a tag's data of this type begins.
    fn find(&self, tag: u32, kind: u32) -> Option<&'a [u8]> {
        let mut entries = self.index.chunks_exact(ENTRY_BYTES);
        let fits = |entry: &&[u8]| number(entry, 0) == Some(tag) && number(entry, 4) == Some(kind);
        let entry = entries.find(fits)?;
        self.data.get(usize::try_from(number(entry, 8)?).ok()?..)
    }

    fn text(&self, tag: u32) -> Option<&'a str> {
        let bytes = self.find(tag, STRING)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }
}

/// The package that a header describes; none if it is a key.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Package>, ReadError> {
    let Some(header) = Header::open(bytes) else {
        return malformed("a header of rpm's data base breaks off");
    };
    let texts = (header.text(NAME), header.text(VERSION), header.text(RELEASE));
    let (Some(name), Some(version), Some(release)) = texts else {
        return malformed("a header of rpm's data base has no name, version or release");
    };
    if name == KEYS {
        return Ok(None);
    }
    let epoch =
        header.find(EPOCH, INT32).and_then(|bytes| number(bytes, 0)).filter(|epoch| *epoch > 0);
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let version = format!("{epoch}{version}-{release}");
    let arch = header.text(ARCH).map(str::to_owned);
    let source = header.text(SOURCE).and_then(source);
    Ok(Some(Package { arch, source, ..Package::new(Ecosystem::Rpm, name, version) }))
}

/// `NAME-VERSION-RELEASE.src.rpm`.
fn source(text: &str) -> Option<Source> {
    let stem = text.strip_suffix(".rpm")?;
    let stem = stem.strip_suffix(".src").or_else(|| stem.strip_suffix(".nosrc"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some(Source { name: name.to_owned(), version: format!("{version}-{release}") })
}

/// A header as rpm writes it; for tests.
#[cfg(test)]
pub(super) fn write(texts: &[(u32, &str)], epoch: Option<u32>) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, at: usize| {
        for part in [tag, kind, at as u32, 1] {
            index.extend_from_slice(&part.to_be_bytes());
        }
    };
    for (tag, text) in texts {
        entry(*tag, STRING, data.len());
        data.extend_from_slice(text.as_bytes());
        data.push(0);
    }
    if let Some(epoch) = epoch {
        data.resize(data.len().next_multiple_of(4), 0);
        entry(EPOCH, INT32, data.len());
        data.extend_from_slice(&epoch.to_be_bytes());
    }
    let count = (index.len() / ENTRY_BYTES) as u32;
    [&count.to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), &index, &data].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The header of a package and what is to be read of it.
    pub(in crate::rpm) fn package(
        name: &str,
        version: &str,
        epoch: Option<u32>,
    ) -> (Vec<u8>, Package) {
        let source_rpm = format!("{name}-src-{version}-1.el9.src.rpm");
        let texts = [
            (NAME, name),
            (VERSION, version),
            (RELEASE, "1.el9"),
            (ARCH, "x86_64"),
            (SOURCE, &source_rpm),
        ];
        let told = epoch.filter(|epoch| *epoch > 0).map(|epoch| format!("{epoch}:"));
        let whole = format!("{}{version}-1.el9", told.unwrap_or_default());
        let source = Source { name: format!("{name}-src"), version: format!("{version}-1.el9") };
        let expected = Package {
            arch: Some("x86_64".to_owned()),
            source: Some(source),
            ..Package::new(Ecosystem::Rpm, name, whole)
        };
        (write(&texts, epoch), expected)
    }

    #[test]
    fn keys_are_no_packages() {
        let texts = [(NAME, KEYS), (VERSION, "1"), (RELEASE, "2")];
        assert_eq!(read(&write(&texts, None)), Ok(None));
        assert!(read(&write(&texts[..2], None)).is_err());
        assert!(read(b"").is_err() && read(&[0xff; 64]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[a-z][a-z0-9_-]{0,12}",
            version in "[0-9][0-9.]{0,6}",
            epoch in prop::option::of(0..5_u32),
        ) {
            let (bytes, expected) = package(&name, &version, epoch);
            prop_assert_eq!(read(&bytes), Ok(Some(expected)));
            for length in 0..bytes.len() {
                let _ = read(&bytes[..length]);
            }
        }
    }
}
