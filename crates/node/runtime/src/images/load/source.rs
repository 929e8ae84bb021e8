//! Where an image's documents and blobs are read from: an archive, or an OCI layout's folder.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use blobs::Digest;
use layers::{Compression, Kind, TarError, TarReader};

use crate::images::store::Shelves;
use crate::images::{ImageError, LoadError};

/// How many files an archive of images may hold.
const FILES_MAX: usize = 100_000;
/// How many links lead from one name of an archive to a file.
const LINKS_MAX: usize = 8;
const COPY_BUFFER_BYTES: usize = 1024 * 1024;

/// What a file turned out to be.
pub(super) enum Contents {
    /// An OCI layout's folder.
    Folder,
    /// A tar with an OCI layout, or what `docker save` writes, or both.
    Archive,
    /// Any other tar.
    RootFs,
}

/// Looks what `file` is: only names are read.
pub(super) fn look(file: &Path) -> Result<Contents, LoadError> {
    let unknown =
        |problem: &str| LoadError::Unknown { file: file.to_owned(), problem: problem.to_owned() };
    let metadata = fs::metadata(file).map_err(unreadable(file))?;
    if metadata.is_dir() {
        return match file.join("index.json").is_file() {
            true => Ok(Contents::Folder),
            false => Err(unknown("it is a folder without index.json")),
        };
    }
    if !metadata.is_file() {
        return Err(unknown("it is neither a file nor a folder"));
    }
    let mut tar = open_tar(file, &|_, _| {})?;
    let mut count = 0_u64;
    let mut is_archive = false;
    loop {
        match tar.next_entry() {
            Ok(None) => break,
            Ok(Some(entry)) => {
                count += 1;
                let name = clean(&entry.name);
                is_archive |= entry.kind == Kind::File
                    && matches!(name.as_str(), "manifest.json" | "index.json" | "oci-layout");
            }
            Err(error) if count == 0 => return Err(unknown(&format!("no tar: {error}"))),
            Err(error) => return Err(broken(file, &error)),
        }
    }
    match (count, is_archive) {
        (0, _) => Err(unknown("it is empty")),
        (_, true) => Ok(Contents::Archive),
        (_, false) => Ok(Contents::RootFs),
    }
}

fn open_tar<'a>(
    file: &Path,
    watch: &'a dyn Fn(u64, u64),
) -> Result<TarReader<impl Read + use<'a>>, LoadError> {
    let opened = Watched::open(file, watch)?;
    let plain = Compression::reader(opened).map_err(unreadable(file))?;
    Ok(TarReader::new(plain))
}

/// A file whose reader is watched.
pub(super) struct Watched<'a> {
    file: File,
    read_bytes: u64,
    size_bytes: u64,
    watch: &'a dyn Fn(u64, u64),
}

impl<'a> Watched<'a> {
    pub(super) fn open(file: &Path, watch: &'a dyn Fn(u64, u64)) -> Result<Self, LoadError> {
        let opened = File::open(file).map_err(unreadable(file))?;
        let size_bytes = opened.metadata().map_err(unreadable(file))?.len();
        Ok(Self { file: opened, read_bytes: 0, size_bytes, watch })
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read_bytes += count as u64;
        (self.watch)(self.read_bytes, self.size_bytes);
        Ok(count)
    }
}

pub(super) fn unreadable(file: &Path) -> impl Fn(io::Error) -> LoadError {
    move |error| LoadError::Unreadable { file: file.to_owned(), message: error.to_string() }
}

fn broken(file: &Path, error: &TarError) -> LoadError {
    let source = ImageError::malformed("the archive", error);
    LoadError::Image { file: file.to_owned(), source }
}

/// `./a//b/` and `/a/b` are `a/b`.
fn clean(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let parts: Vec<_> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

/// Files by name, as blobs of the store.
pub(super) enum Source {
    Archive { files: HashMap<String, (Digest, u64)>, links: HashMap<String, String> },
    Folder(PathBuf),
}

impl Source {
    pub(super) fn folder(path: &Path) -> Self {
        Self::Folder(path.to_owned())
    }

    /// Takes in every file of an archive; each is a part of some image in it.
    pub(super) fn archive(
        shelves: &Shelves,
        file: &Path,
        watch: &dyn Fn(u64, u64),
        added: &mut Vec<Digest>,
    ) -> Result<Self, LoadError> {
        let mut tar = open_tar(file, watch)?;
        let (mut files, mut links) = (HashMap::new(), HashMap::new());
        while let Some(entry) = tar.next_entry().map_err(|error| broken(file, &error))? {
            let name = clean(&entry.name);
            if files.len() + links.len() >= FILES_MAX {
                let problem = format!("it holds over {FILES_MAX} files");
                return Err(broken(file, &TarError::Broken(problem)));
            }
            match entry.kind {
                // Docker's legacy description of each layer: nobody needs it.
                Kind::File if name.ends_with("/VERSION") || name.ends_with("/json") => {}
                Kind::File if entry.pieces.is_some() => {
                    let problem = format!("'{name}' is a sparse file");
                    return Err(broken(file, &TarError::Broken(problem)));
                }
                Kind::File => {
                    files.insert(name, take_in(shelves, file, &mut tar, added)?);
                }
                Kind::SymLink | Kind::HardLink => {
                    let target = link_target(&name, &entry.link, entry.kind);
                    links.insert(name, target);
                }
                _ => {}
            }
        }
        Ok(Self::Archive { files, links })
    }

    /// The blob that holds the file `name`, taken in if it is not in the store yet.
    pub(super) fn blob(
        &self,
        shelves: &Shelves,
        name: &str,
        added: &mut Vec<Digest>,
    ) -> Result<Option<(Digest, u64)>, ImageError> {
        match self {
            Self::Archive { files, links } => {
                let mut name = name;
                for _ in 0..LINKS_MAX {
                    match links.get(name) {
                        Some(target) => name = target,
                        None => break,
                    }
                }
                Ok(files.get(name).copied())
            }
            Self::Folder(root) => {
                let path = root.join(name);
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(unusable(&path, &error)),
                };
                take_in_file(shelves, &path, file, added).map(Some)
            }
        }
    }

    /// Reads a document of at most `limit_bytes`.
    pub(super) fn read(
        &self,
        shelves: &Shelves,
        name: &str,
        limit_bytes: u64,
        added: &mut Vec<Digest>,
    ) -> Result<Option<Vec<u8>>, ImageError> {
        let Some((digest, _)) = self.blob(shelves, name, added)? else { return Ok(None) };
        Ok(shelves.blobs.read(&digest, limit_bytes)?)
    }
}

/// Where a link in an archive leads, as a name in it.
fn link_target(name: &str, link: &[u8], kind: Kind) -> String {
    let link = String::from_utf8_lossy(link);
    let mut parts: Vec<&str> = match kind {
        Kind::SymLink if !link.starts_with('/') => {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            folder.split('/').filter(|part| !part.is_empty()).collect()
        }
        _ => Vec::new(),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn unusable(path: &Path, error: &io::Error) -> ImageError {
    ImageError::malformed("the layout", format!("{} cannot be read: {error}", path.display()))
}

/// Stores what `from` gives.
pub(super) fn take_in(
    shelves: &Shelves,
    file: &Path,
    from: impl Read,
    added: &mut Vec<Digest>,
) -> Result<(Digest, u64), LoadError> {
    take_in_file(shelves, file, from, added)
        .map_err(|source| LoadError::Image { file: file.to_owned(), source })
}

fn take_in_file(
    shelves: &Shelves,
    path: &Path,
    mut from: impl Read,
    added: &mut Vec<Digest>,
) -> Result<(Digest, u64), ImageError> {
    let mut ingest = shelves.blobs.ingest_unnamed()?;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => ingest.write(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unusable(path, &error)),
        }
    }
    let size = ingest.offset();
    let digest = ingest.commit(None, None)?;
    added.push(digest);
    Ok((digest, size))
}
