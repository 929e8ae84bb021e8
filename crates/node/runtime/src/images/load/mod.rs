//! Images from files: what `docker save`, skopeo, buildkit and friends write, and bare root file
//! systems.

mod docker;
mod name;
mod oci;
mod source;

use std::path::Path;

use blobs::Digest;
use layers::Compression;

use self::source::{Contents, Source};
use super::manifest::{ConfigDocument, Manifest};
use super::references::Record;
use super::store::Shelves;
use super::{Image, ImageError, ImageReference, LoadError};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// An image that a file holds: its parts are in the blob store, its layers not yet unpacked.
struct Found {
    /// As the file names it; none if it does not.
    names: Vec<ImageReference>,
    /// What its name is to mean: an index or a manifest.
    target: Digest,
    /// The manifest for this machine.
    manifest: Digest,
}

/// Loads every image that `file` holds. What was taken in and is of no use (everything, if it fails) is
/// taken away again. `watch` is told how many bytes of how many were read.
pub(super) fn load(
    shelves: &Shelves,
    file: &Path,
    name: Option<&ImageReference>,
    watch: &dyn Fn(u64, u64),
) -> Result<Vec<Image>, LoadError> {
    let mut added = Vec::new();
    let loaded = {
        let _lock = shelves.lock().map_err(image_error(file))?;
        find(shelves, file, watch, &mut added).and_then(|found| store(shelves, file, name, &found))
    };
    shelves.forget(&added, loaded.is_err());
    loaded
}

fn find(
    shelves: &Shelves,
    file: &Path,
    watch: &dyn Fn(u64, u64),
    added: &mut Vec<Digest>,
) -> Result<Vec<Found>, LoadError> {
    let source = match source::look(file)? {
        Contents::RootFs => {
            return root_fs(shelves, file, watch, added).map(|found| vec![found]);
        }
        Contents::Folder => Source::folder(file),
        Contents::Archive => Source::archive(shelves, file, watch, added)?,
    };
    let documents = oci::find(shelves, &source, added).and_then(|found| match found {
        // Docker's own document may know names that the index does not.
        Some(found) if found.iter().any(|found| !found.names.is_empty()) => Ok(Some(found)),
        unnamed => docker::find(shelves, &source, added).map(|found| found.or(unnamed)),
    });
    let unknown = || LoadError::Unknown {
        file: file.to_owned(),
        problem: "it has neither index.json nor manifest.json".to_owned(),
    };
    documents.map_err(image_error(file))?.ok_or_else(unknown)
}

/// Unpacks what was found, and names it.
fn store(
    shelves: &Shelves,
    file: &Path,
    name: Option<&ImageReference>,
    found: &[Found],
) -> Result<Vec<Image>, LoadError> {
    if found.is_empty() {
        let problem = "it holds no image".to_owned();
        return Err(LoadError::Unknown { file: file.to_owned(), problem });
    }
    if name.is_some() && found.len() > 1 {
        let problem = format!("it holds {} images, so one name is not enough", found.len());
        return Err(LoadError::Name { file: file.to_owned(), problem });
    }
    let mut records = Vec::new();
    for image in found {
        let names = match name {
            Some(name) => vec![name.clone()],
            None if image.names.is_empty() => vec![name::of_file(file)?],
            None => image.names.clone(),
        };
        unpack(shelves, &image.manifest).map_err(image_error(file))?;
        let record = |name| Record::new(name, image.target, image.manifest, false);
        records.extend(names.into_iter().map(record));
    }
    records.iter().map(|record| shelves.name(record).map_err(image_error(file))).collect()
}

fn unpack(shelves: &Shelves, manifest: &Digest) -> Result<(), ImageError> {
    let missing = |what| ImageError::malformed("the image", format!("its {what} is missing"));
    let Some(super::manifest::Document::Manifest(manifest)) = shelves.read_document(manifest)?
    else {
        return Err(missing("manifest"));
    };
    let config = shelves.read_config(&manifest)?.ok_or_else(|| missing("configuration"))?;
    for (layer, diff_id) in manifest.layers.iter().zip(&config.diff_ids) {
        shelves.unpack(&layer.digest, Some(diff_id))?;
    }
    Ok(())
}

/// A tar that is a root file system: one layer, and a configuration that says nothing.
fn root_fs(
    shelves: &Shelves,
    file: &Path,
    watch: &dyn Fn(u64, u64),
    added: &mut Vec<Digest>,
) -> Result<Found, LoadError> {
    let error = image_error(file);
    let opened = source::Watched::open(file, watch)?;
    let (layer, size) = source::take_in(shelves, file, opened, added)?;
    let diff_id = shelves.unpack(&layer, None).map_err(&error)?;
    let document = ConfigDocument::compose(&diff_id, &shelves.platform);
    let layers = [(layer, size, layer_type(shelves, &layer).map_err(&error)?)];
    compose(shelves, &document, &layers, added).map_err(error)
}

/// Stores the manifest of an image that came without one.
fn compose(
    shelves: &Shelves,
    config: &[u8],
    layers: &[(Digest, u64, &'static str)],
    added: &mut Vec<Digest>,
) -> Result<Found, ImageError> {
    let config_digest = shelves.blobs.put(config)?;
    let manifest = Manifest::compose((config_digest, config.len() as u64), layers)?;
    let manifest = shelves.blobs.put(&manifest)?;
    added.extend([config_digest, manifest]);
    Ok(Found { names: Vec::new(), target: manifest, manifest })
}

/// A layer's media type, by its first bytes.
fn layer_type(shelves: &Shelves, layer: &Digest) -> Result<&'static str, ImageError> {
    let malformed = |problem: String| ImageError::malformed(format!("layer {layer}"), problem);
    let blob = shelves.blobs.reader(layer)?.ok_or_else(|| malformed("it is missing".to_owned()))?;
    let compression = Compression::detect(blob).map_err(|error| malformed(error.to_string()))?;
    Ok(match compression {
        Compression::None => TAR,
        Compression::Gzip => TAR_GZIP,
        Compression::Zstd => TAR_ZSTD,
    })
}

fn image_error(file: &Path) -> impl Fn(ImageError) -> LoadError {
    move |source| LoadError::Image { file: file.to_owned(), source }
}
