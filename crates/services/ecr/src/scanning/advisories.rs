//! Advisories in OSV's form, in a folder or a zip that the operator supplies: files of JSON, and zips of
//! them as OSV gives them out, a whole ecosystem each.
//!
//! In memory is only which file has advisories about packages of which names: a distribution has tens of
//! thousands of them. They are read again when a scan needs them, and the index is made anew when a
//! file came, went or changed.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use packages::{Advisory, is_same_ecosystem, search_name};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;
use zip::ZipArchive;

/// The largest advisory that is read, in bytes.
const ADVISORY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Files in all folders.
const FILES_MAX: usize = 4_000_000;
/// How deep folders may lie in each other.
const DEPTH_MAX: usize = 8;

/// Where an advisory is: the number of a file, and its number within that if it is a zip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    file: u32,
    entry: u32,
}

/// What is known of the advisories.
#[derive(Debug)]
pub(crate) struct Advisories {
    root: PathBuf,
    /// What tells whether something changed; none before the first look.
    stamp: Option<u64>,
    files: Vec<PathBuf>,
    /// By the hashes of the packages' names.
    index: HashMap<u64, Vec<Place>>,
    ecosystems: BTreeSet<String>,
    count: usize,
    unreadable: usize,
    updated_at: Option<Timestamp>,
}

impl Advisories {
    /// Those in a folder or zip, which are not looked at yet.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            stamp: None,
            files: Vec::new(),
            index: HashMap::new(),
            ecosystems: BTreeSet::new(),
            count: 0,
            unreadable: 0,
            updated_at: None,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Files that are no advisories.
    pub(super) fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// What tells these advisories from those before and after; none before the first look.
    pub(super) fn stamp(&self) -> Option<u64> {
        self.stamp
    }

    /// When one of the files was changed last.
    pub(super) fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// Whether there are advisories about an ecosystem.
    pub(super) fn covers(&self, ecosystem: &str) -> bool {
        let from = self.ecosystems.range(ecosystem.to_owned()..);
        let mut near = from.take_while(|named| named.starts_with(ecosystem));
        near.any(|named| is_same_ecosystem(named, ecosystem))
    }

    /// Looks whether a file came, went or changed since the last look, and if so reads all anew.
    ///
    /// # Errors
    /// If the folder or a file cannot be read, or if all is to stop.
    pub(super) fn refresh(&mut self, stop: &CancellationToken) -> io::Result<()> {
        let mut found = BTreeMap::new();
        gather(&self.root, 0, &mut found)?;
        let mut hasher = DefaultHasher::new();
        found.hash(&mut hasher);
        let stamp = hasher.finish();
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        let mut fresh = Self::new(self.root.clone());
        fresh.updated_at = found.values().map(|(millis, _)| Timestamp::from_millis(*millis)).max();
        fresh.files = found.into_keys().collect();
        for file in 0..fresh.files.len() {
            fresh.take_in(file, stop)?;
        }
        let (count, unreadable) = (fresh.count, fresh.unreadable);
        tracing::info!(count, unreadable, "read the advisories that images are scanned for");
        fresh.stamp = Some(stamp);
        *self = fresh;
        Ok(())
    }

    /// Has the next look read all anew.
    pub(super) fn forget(&mut self) {
        self.stamp = None;
    }

    fn take_in(&mut self, file: usize, stop: &CancellationToken) -> io::Result<()> {
        check(stop)?;
        let path = self.files[file].clone();
        let number = u32::try_from(file).expect("there are fewer files than FILES_MAX");
        if !is_zip(&path) {
            let place = Place { file: number, entry: 0 };
            self.note(place, &path, read(File::open(&path)?)?);
            return Ok(());
        }
        let mut zip = match open_zip(&path) {
            Ok(zip) => zip,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(file = %path.display(), %error, "this zip of advisories is not read");
                self.unreadable += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for entry in 0..zip.len() {
            check(stop)?;
            let bytes = match read_entry(&mut zip, entry) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(file = %path.display(), entry, %error, "a part of this zip is not read");
                    self.unreadable += 1;
                    continue;
                }
            };
            let entry = u32::try_from(entry).map_err(io::Error::other)?;
            self.note(Place { file: number, entry }, &path, bytes);
        }
        Ok(())
    }

    fn note(&mut self, place: Place, path: &Path, bytes: Option<Vec<u8>>) {
        let advisory = bytes.map(|bytes| Advisory::read(&bytes));
        let Some(Ok(advisory)) = advisory else {
            if self.unreadable == 0 {
                let problem = match advisory {
                    Some(Err(problem)) => problem.to_string(),
                    _ => format!("it has over {ADVISORY_BYTES_MAX} bytes"),
                };
                tracing::warn!(file = %path.display(), problem, "this is no advisory that is read");
            }
            self.unreadable += 1;
            return;
        };
        self.count += 1;
        let mut names = BTreeSet::new();
        for (ecosystem, name) in advisory.packages() {
            if !self.ecosystems.contains(ecosystem) {
                self.ecosystems.insert(ecosystem.to_owned());
            }
            names.insert(hash(name));
        }
        for name in names {
            self.index.entry(name).or_default().push(place);
        }
    }

    /// Calls `each` with every advisory that may be about a package with one of these names.
    ///
    /// # Errors
    /// If a file is not what it was at the last look; what `each` answers.
    pub(super) fn about<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        mut each: impl FnMut(&Advisory) -> io::Result<()>,
    ) -> io::Result<()> {
        let places = names.filter_map(|name| self.index.get(&hash(name))).flatten();
        let places: BTreeSet<Place> = places.copied().collect();
        let mut open: Option<(u32, ZipArchive<File>)> = None;
        for place in places {
            let path = &self.files[place.file as usize];
            let bytes = if is_zip(path) {
                let (_, zip) = match open.take().filter(|(file, _)| *file == place.file) {
                    Some(same) => open.insert(same),
                    None => open.insert((place.file, open_zip(path)?)),
                };
                read_entry(zip, place.entry as usize)?.flatten()
            } else {
                read(File::open(path)?)?
            };
            let advisory = bytes.and_then(|bytes| Advisory::read(&bytes).ok());
            let gone = || io::Error::new(io::ErrorKind::InvalidData, "an advisory has changed");
            each(&advisory.ok_or_else(gone)?)?;
        }
        Ok(())
    }
}

/// Ends in an error when the server ends.
pub(super) fn check(stop: &CancellationToken) -> io::Result<()> {
    match stop.is_cancelled() {
        true => Err(io::Error::new(io::ErrorKind::Interrupted, "the server was stopped")),
        false => Ok(()),
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    search_name(name).hash(&mut hasher);
    hasher.finish()
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|known| known.eq_ignore_ascii_case(ending))
}

fn is_zip(path: &Path) -> bool {
    has_ending(path, "zip")
}

/// The files below a folder, with when they were changed (milliseconds) and their lengths.
fn gather(path: &Path, depth: usize, found: &mut BTreeMap<PathBuf, (i64, u64)>) -> io::Result<()> {
    let told = fs::metadata(path)?;
    if !told.is_dir() {
        if depth > 0 && !is_zip(path) && !has_ending(path, "json") {
            return Ok(());
        }
        if found.len() >= FILES_MAX {
            return Err(io::Error::other(format!("there are over {FILES_MAX} files")));
        }
        let since = told.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        found.insert(path.to_owned(), (millis, told.len()));
        return Ok(());
    }
    if depth >= DEPTH_MAX {
        return Err(io::Error::other(format!("folders lie over {DEPTH_MAX} deep in each other")));
    }
    for entry in fs::read_dir(path)? {
        match gather(&entry?.path(), depth + 1, found) {
            // It went meanwhile, or is a link that leads nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// The bytes of an advisory; none if they are too many.
fn read(file: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(ADVISORY_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= ADVISORY_BYTES_MAX).then_some(bytes))
}

fn open_zip(path: &Path) -> io::Result<ZipArchive<File>> {
    ZipArchive::new(File::open(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// An entry of a zip, if it is an advisory's by its name.
fn read_entry(zip: &mut ZipArchive<File>, entry: usize) -> io::Result<Option<Option<Vec<u8>>>> {
    let file = zip.by_index(entry).map_err(io::Error::other)?;
    match file.is_file() && has_ending(Path::new(file.name()), "json") {
        true => read(file).map(Some),
        false => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn advisory(id: &str, ecosystem: &str, name: &str) -> Vec<u8> {
        let affected = json!([{"package": {"ecosystem": ecosystem, "name": name}}]);
        json!({"id": id, "affected": affected}).to_string().into_bytes()
    }

    fn about(advisories: &Advisories, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let note = |advisory: &Advisory| {
            found.push(advisory.id.clone());
            Ok(())
        };
        advisories.about([name].into_iter(), note).unwrap();
        found
    }

    #[test]
    fn folders_and_zips_are_read_and_read_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/a.json"), advisory("A-1", "Debian:12", "glibc"))
            .unwrap();
        fs::write(folder.path().join("README.md"), "no advisory").unwrap();
        fs::write(folder.path().join("broken.json"), "{").unwrap();
        fs::write(folder.path().join("broken.zip"), "no zip").unwrap();
        let mut zip = zip::ZipWriter::new(File::create(folder.path().join("all.zip")).unwrap());
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        for (name, id) in [("P-1.json", "P-1"), ("P-2.json", "P-2"), ("note.txt", "P-3")] {
            zip.start_file(name, options).unwrap();
            zip.write_all(&advisory(id, "PyPI", "Zope.Interface")).unwrap();
        }
        zip.finish().unwrap();
        let mut advisories = Advisories::new(folder.path().to_owned());
        advisories.refresh(&CancellationToken::new()).unwrap();
        assert_eq!((advisories.count(), advisories.unreadable()), (3, 2));
        assert!(advisories.covers("Debian:12") && !advisories.covers("Debian:1"));
        assert!(advisories.updated_at().is_some());
        assert_eq!(about(&advisories, "glibc"), ["A-1"]);
        assert_eq!(about(&advisories, "zope-interface"), ["P-1", "P-2"]);
        assert!(about(&advisories, "none").is_empty());
        let whole = fs::read(folder.path().join("all.zip")).unwrap();
        fs::write(folder.path().join("deep/a.json"), advisory("A-22", "Debian:12", "glibc"))
            .unwrap();
        fs::remove_file(folder.path().join("all.zip")).unwrap();
        assert!(advisories.about(["zope-interface"].into_iter(), |_| Ok(())).is_err());
        advisories.refresh(&CancellationToken::new()).unwrap();
        assert_eq!(
            (about(&advisories, "glibc"), advisories.covers("PyPI")),
            (vec!["A-22".to_owned()], false)
        );
        let alone = folder.path().join("alone.zip");
        fs::write(&alone, whole).unwrap();
        let mut alone = Advisories::new(alone);
        alone.refresh(&CancellationToken::new()).unwrap();
        assert_eq!(alone.count(), 2);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(
            Advisories::new(PathBuf::from("/nowhere/at/all"))
                .refresh(&CancellationToken::new())
                .is_err()
        );
    }
}
