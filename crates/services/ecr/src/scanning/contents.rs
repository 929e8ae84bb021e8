//! What of an image's files is of interest, layer by layer, as a container would see it.
//!
//! **Invariant:** no file is held longer than it takes to read its packages, and never more of it than
//! `packages` bounds. What unpacks to more than a limit is refused.

use std::collections::BTreeMap;
use std::io::{self, Read};

use layers::{Compression, Entry, Kind, Mark, TarError, TarReader};
use packages::{Form, Package, ReadError, Release};
use tokio_util::sync::CancellationToken;

/// Bytes that all layers of an image unpack to.
const UNPACKED_BYTES_MAX: u64 = 64 << 30;
/// Entries of all layers of an image.
const ENTRIES_MAX: u64 = 8_000_000;
/// The longest name of an entry, in bytes: `PATH_MAX`.
const NAME_BYTES_MAX: usize = 4_096;
/// Files of interest of one image.
const FILES_MAX: usize = 100_000;
/// Packages of one image.
const PACKAGES_MAX: usize = 400_000;
/// The longest os-release that is read, in bytes.
const RELEASE_BYTES_MAX: u64 = 64 * 1024;
/// Where an image says which distribution it is of: the first of them that it has.
const RELEASES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Why the files of an image cannot be looked through.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayerError {
    /// The server ends.
    #[error("the server was stopped")]
    Stopped,
    /// It is more than is looked through.
    #[error("the layers have more than {0}")]
    TooLarge(String),
    /// It is no layer.
    #[error("{0}")]
    Broken(String),
}

/// What a file is known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It lists packages.
    Packages(Vec<Package>),
    /// It should, and does not.
    Unreadable(Form, ReadError),
    /// It names the distribution, or does not.
    Release(Option<Release>),
}

/// The files of interest of the layers so far.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<String, Found>,
    packages: usize,
    entries: u64,
    unpacked_bytes: u64,
}

impl Contents {
    /// The files, by their paths without a slash before them.
    pub(super) fn files(&self) -> &BTreeMap<String, Found> {
        &self.files
    }

    /// The distribution, if the image names one.
    pub(super) fn release(&self) -> Option<&Release> {
        RELEASES.iter().find_map(|path| match self.files.get(*path) {
            Some(Found::Release(release)) => release.as_ref(),
            _ => None,
        })
    }

    /// Lays a layer over those before, as it was pushed: plain, gzip or zstd.
    pub(super) fn add(
        &mut self,
        layer: impl Read,
        stop: &CancellationToken,
    ) -> Result<(), LayerError> {
        let plain = Compression::reader(layer).map_err(read_error)?;
        let left_bytes = UNPACKED_BYTES_MAX - self.unpacked_bytes;
        let mut tar = TarReader::new(Bounded { input: plain, left_bytes, stop });
        // Whiteouts are about what lies below, wherever they stand in their own layer.
        let mut here = BTreeMap::new();
        while let Some(entry) = tar.next_entry().map_err(tar_error)? {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(LayerError::TooLarge(format!("{ENTRIES_MAX} entries")));
            }
            let Some(path) = clean(&entry.name)? else { continue };
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            match Mark::of(name.as_bytes()) {
                Mark::Opaque => hide_within(&mut self.files, folder),
                Mark::Gone(hidden) => {
                    let hidden = String::from_utf8_lossy(hidden);
                    hide(&mut self.files, &join(folder, &hidden));
                }
                Mark::Meta => {}
                Mark::Invalid => return broken(&path, "hides '.' or '..'"),
                Mark::None => self.place(&path, &entry, &mut tar, &mut here)?,
            }
        }
        self.files.append(&mut here);
        self.unpacked_bytes = UNPACKED_BYTES_MAX - tar.into_inner().left_bytes;
        Ok(())
    }

    /// Takes in an entry that stands for itself.
    fn place(
        &mut self,
        path: &str,
        entry: &Entry,
        data: &mut impl Read,
        here: &mut BTreeMap<String, Found>,
    ) -> Result<(), LayerError> {
        if entry.kind == Kind::Directory {
            // In place of a file; what lies in the folder below stays.
            self.files.remove(path);
            here.remove(path);
            return Ok(());
        }
        let known = match entry.kind {
            Kind::HardLink => {
                let target = clean(&entry.link)?.unwrap_or_default();
                here.get(&target).or_else(|| self.files.get(&target)).cloned()
            }
            _ => None,
        };
        hide(&mut self.files, path);
        hide(here, path);
        let found = match (entry.kind, known) {
            (Kind::File, _) => read(path, entry, data)?,
            (Kind::HardLink, known) => known.filter(|_| is_of_interest(path)),
            _ => None,
        };
        let Some(found) = found else { return Ok(()) };
        if let Found::Packages(packages) = &found {
            self.packages += packages.len();
            if self.packages > PACKAGES_MAX {
                return Err(LayerError::TooLarge(format!("{PACKAGES_MAX} packages")));
            }
        }
        here.insert(path.to_owned(), found);
        if here.len() + self.files.len() > FILES_MAX {
            return Err(LayerError::TooLarge(format!("{FILES_MAX} files that list packages")));
        }
        Ok(())
    }
}

fn is_of_interest(path: &str) -> bool {
    RELEASES.contains(&path) || Form::of(path).is_some()
}

/// What a file is, if it is of interest.
fn read(path: &str, entry: &Entry, data: &mut impl Read) -> Result<Option<Found>, LayerError> {
    if RELEASES.contains(&path) {
        let mut bytes = Vec::new();
        data.take(RELEASE_BYTES_MAX).read_to_end(&mut bytes).map_err(read_error)?;
        return Ok(Some(Found::Release(Release::read(&bytes))));
    }
    let Some(form) = Form::of(path) else { return Ok(None) };
    if entry.pieces.is_some() {
        let problem = ReadError::Unsupported("a sparse file is not read".to_owned());
        return Ok(Some(Found::Unreadable(form, problem)));
    }
    match form.read_from(data, entry.size_bytes).map_err(read_error)? {
        // Most programs are none of Go's.
        Ok(packages) if packages.is_empty() && !form.is_of_system() => Ok(None),
        Ok(packages) => Ok(Some(Found::Packages(packages))),
        Err(problem) => Ok(Some(Found::Unreadable(form, problem))),
    }
}

/// Takes away a file, or a folder with all that is in it.
fn hide(files: &mut BTreeMap<String, Found>, path: &str) {
    files.remove(path);
    hide_within(files, path);
}

/// Takes away all that is in a folder; the root has no name.
fn hide_within(files: &mut BTreeMap<String, Found>, folder: &str) {
    if folder.is_empty() {
        files.clear();
        return;
    }
    let prefix = format!("{folder}/");
    let inside = files.range(prefix.clone()..).map(|(path, _)| path);
    let inside: Vec<_> = inside.take_while(|path| path.starts_with(&prefix)).cloned().collect();
    for path in inside {
        files.remove(&path);
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// `./a//b/` and `/a/b` are `a/b`; the root is none.
fn clean(name: &[u8]) -> Result<Option<String>, LayerError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(LayerError::Broken(format!("a name has over {NAME_BYTES_MAX} bytes")));
    }
    let name = String::from_utf8_lossy(name);
    let parts: Vec<_> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return broken(&name, "has '..' in its name");
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

fn broken<T>(name: &str, problem: &str) -> Result<T, LayerError> {
    const NAME_CHARS_MAX: usize = 200;
    let name: String = name.chars().take(NAME_CHARS_MAX).flat_map(char::escape_debug).collect();
    Err(LayerError::Broken(format!("'{name}' {problem}")))
}

fn read_error(error: io::Error) -> LayerError {
    match error.downcast::<LayerError>() {
        Ok(own) => own,
        Err(error) => LayerError::Broken(error.to_string()),
    }
}

fn tar_error(error: TarError) -> LayerError {
    match error {
        TarError::Read(error) => read_error(error),
        TarError::Broken(problem) => LayerError::Broken(format!("it is no tar: {problem}")),
    }
}

/// Ends where there is too much, and when the server ends.
struct Bounded<'a, R> {
    input: R,
    left_bytes: u64,
    stop: &'a CancellationToken,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other(LayerError::Stopped));
        }
        let count = self.input.read(buffer)?;
        let left_bytes = self.left_bytes.checked_sub(count as u64);
        self.left_bytes = left_bytes.ok_or_else(|| {
            io::Error::other(LayerError::TooLarge(format!("{UNPACKED_BYTES_MAX} bytes")))
        })?;
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_without_end_is_refused() {
        let stop = CancellationToken::new();
        let mut endless = Bounded { input: io::repeat(0), left_bytes: 1_000_000, stop: &stop };
        let error = io::copy(&mut endless, &mut io::sink()).unwrap_err();
        assert!(matches!(read_error(error), LayerError::TooLarge(_)));
        // What came before counts.
        let mut contents =
            Contents { unpacked_bytes: UNPACKED_BYTES_MAX - 1_000, ..Contents::default() };
        let layer = stage::Sample::new().file("a", &[0; 2_000]).done();
        let told = contents.add(&layer[..], &stop).unwrap_err();
        assert!(matches!(told, LayerError::TooLarge(_)), "{told}");
        let mut contents = Contents { entries: ENTRIES_MAX, ..Contents::default() };
        let told = contents.add(&layer[..], &stop).unwrap_err();
        assert!(told.to_string().contains("entries"), "{told}");
        let mut contents = Contents { packages: PACKAGES_MAX, ..Contents::default() };
        let layer = stage::Sample::new().file("lib/apk/db/installed", b"P:a\nV:1\n").done();
        let told = contents.add(&layer[..], &stop).unwrap_err();
        assert!(told.to_string().contains("packages"), "{told}");
    }
}
