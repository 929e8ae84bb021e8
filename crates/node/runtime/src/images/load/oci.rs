//! OCI layouts: `index.json` names manifests, `blobs/sha256/` holds everything.

use blobs::Digest;

use super::Found;
use super::name;
use super::source::Source;
use crate::images::ImageError;
use crate::images::manifest::{self, Descriptor, Document, MANIFEST_BYTES_MAX, OCI_INDEX};
use crate::images::store::Shelves;

/// How deep indexes may lie in each other.
const INDEX_DEPTH_MAX: usize = 3;

/// The images of the layout's index; `None` if there is no index.
pub(super) fn find(
    shelves: &Shelves,
    source: &Source,
    added: &mut Vec<Digest>,
) -> Result<Option<Vec<Found>>, ImageError> {
    let Some(bytes) = source.read(shelves, "index.json", MANIFEST_BYTES_MAX, added)? else {
        return Ok(None);
    };
    let Document::Index(entries) = Document::parse(&bytes, Some(OCI_INDEX))? else {
        return Err(ImageError::malformed("index.json", "it is no index"));
    };
    let mut found: Vec<Found> = Vec::new();
    for entry in pick(shelves, &entries)? {
        let Some(manifest) = resolve(shelves, source, entry, added, INDEX_DEPTH_MAX)? else {
            continue;
        };
        let names = name::of_descriptor(entry)?;
        // One image under several names is listed once for each.
        match found.iter_mut().find(|image| image.target == entry.digest) {
            Some(image) => image.names.extend(names),
            None => found.push(Found { names, target: entry.digest, manifest }),
        }
    }
    Ok(Some(found))
}

/// The entries that are images to load: all that have names; without any, the one for this machine.
fn pick<'a>(
    shelves: &Shelves,
    entries: &'a [Descriptor],
) -> Result<Vec<&'a Descriptor>, ImageError> {
    let named: Vec<_> = entries.iter().filter(|entry| name::is_named(entry)).collect();
    if !named.is_empty() || entries.is_empty() {
        return Ok(named);
    }
    let platform = &shelves.platform;
    let chosen = manifest::choose(entries, platform).map_err(|offered| {
        let problem = format!("it holds {offered}, this machine needs {platform}");
        ImageError::unsupported("index.json", problem)
    })?;
    Ok(vec![chosen])
}

/// Takes in what an entry leads to. `None` if it is for another platform in an index of several.
fn resolve(
    shelves: &Shelves,
    source: &Source,
    entry: &Descriptor,
    added: &mut Vec<Digest>,
    depth: usize,
) -> Result<Option<Digest>, ImageError> {
    let document = document(shelves, source, &entry.digest, added)?;
    let manifest = match document {
        Document::Index(_) if depth == 0 => {
            let problem = format!("indexes lie in each other over {INDEX_DEPTH_MAX} deep");
            return Err(ImageError::malformed("index.json", problem));
        }
        Document::Index(entries) => {
            let platform = &shelves.platform;
            let chosen = manifest::choose(&entries, platform).map_err(|offered| {
                let problem = format!("it is for {offered}, this machine needs {platform}");
                ImageError::unsupported(format!("image {}", entry.digest), problem)
            })?;
            return resolve(shelves, source, chosen, added, depth - 1);
        }
        Document::Manifest(manifest) => manifest,
    };
    for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
        take_in(shelves, source, &part.digest, added)?;
    }
    Ok(Some(entry.digest))
}

fn document(
    shelves: &Shelves,
    source: &Source,
    digest: &Digest,
    added: &mut Vec<Digest>,
) -> Result<Document, ImageError> {
    take_in(shelves, source, digest, added)?;
    let document = shelves.read_document(digest)?;
    document.ok_or_else(|| ImageError::malformed("the layout", format!("{digest} is missing")))
}

/// Sees to it that a blob of the layout is in the store, and is what its name says.
fn take_in(
    shelves: &Shelves,
    source: &Source,
    digest: &Digest,
    added: &mut Vec<Digest>,
) -> Result<(), ImageError> {
    if shelves.blobs.contains(digest) {
        return Ok(());
    }
    let name = format!("blobs/sha256/{}", digest.hex());
    match source.blob(shelves, &name, added)? {
        Some((actual, _)) if actual == *digest => Ok(()),
        Some((actual, _)) => {
            let problem = format!("the bytes of {name} have digest {actual}");
            Err(ImageError::malformed("the layout", problem))
        }
        None => Err(ImageError::malformed("the layout", format!("{name} is missing"))),
    }
}
