//! The image store on disk, without registries: what is in it, and what follows from that.
//!
//! ```text
//! ROOT/blobs/sha256/<hex>      manifests, configurations, layers as they came
//! ROOT/layers/<name>/          unpacked layers
//! ROOT/references/<hex>.json   reference -> manifest
//! ROOT/snapshots/<container>/  upper, work, and which layers they stand on
//! ROOT/lock                    see `lock`
//! ```

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use blobs::{Digest, Durability};

use super::layers::{Layers, store_error};
use super::lock::StoreLock;
use super::manifest::{
    self, CONFIG_BYTES_MAX, ConfigDocument, Document, MANIFEST_BYTES_MAX, Manifest,
};
use super::references::{Record, References};
use super::snapshots::Snapshots;
use super::unpack::Limits;
use super::{
    Image, ImageConfig, ImageError, ImageReference, Layer, Platform, Pruned, RootFs, SnapshotError,
};
use crate::ContainerId;

/// How many parsed images are kept in memory.
const PARSED_MAX: usize = 1024;

/// The parts of the store. All calls block.
pub(super) struct Shelves {
    root: PathBuf,
    pub(super) blobs: blobs::Store,
    pub(super) layers: Layers,
    pub(super) references: References,
    pub(super) snapshots: Snapshots,
    pub(super) platform: Platform,
    /// What manifests say never changes: parsed once.
    parsed: Mutex<HashMap<Digest, Parsed>>,
}

/// An image without its name.
#[derive(Debug, Clone)]
struct Parsed {
    config_digest: Digest,
    layers: Arc<[Layer]>,
    config: Arc<ImageConfig>,
}

impl Shelves {
    pub(super) fn open(
        root: &Path,
        platform: Platform,
        durability: Durability,
        limits: Limits,
    ) -> Result<Self, ImageError> {
        let shelves = Self {
            root: root.to_owned(),
            blobs: blobs::Store::open_with(root.join("blobs"), durability)?,
            layers: Layers::open(root.join("layers"), durability, limits)?,
            references: References::open(root.join("references"), durability)?,
            snapshots: Snapshots::open(root.join("snapshots"))?,
            platform,
            parsed: Mutex::default(),
        };
        shelves.restrict()?;
        shelves.layers.sweep()?;
        // Partial downloads of earlier runs are kept: the next pull goes on with them.
        shelves.blobs.sweep(SystemTime::UNIX_EPOCH)?;
        if let Some(_alone) = shelves.lock_alone()? {
            shelves.snapshots.sweep()?;
            shelves.references.sweep()?;
        }
        Ok(shelves)
    }

    /// Layers hold set-user-id programs of strangers: nobody but root may walk in.
    fn restrict(&self) -> Result<(), ImageError> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&self.root, std::fs::Permissions::from_mode(0o700))
            .map_err(|error| store_error("set the permissions of", &self.root, error))
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// To be held while adding, or while relying on what is there.
    pub(super) fn lock(&self) -> Result<StoreLock, ImageError> {
        let path = self.lock_path();
        StoreLock::shared(&path).map_err(|error| store_error("lock", &path, error))
    }

    fn lock_alone(&self) -> Result<Option<StoreLock>, ImageError> {
        let path = self.lock_path();
        StoreLock::exclusive(&path).map_err(|error| store_error("lock", &path, error))
    }

    /// The image of this reference, if all of it is here. One that pins a digest is also found under
    /// another name of the same repository.
    pub(super) fn find(&self, reference: &ImageReference) -> Result<Option<Image>, ImageError> {
        Ok(self.find_record(reference)?.map(|(_, image)| image))
    }

    /// As [`Shelves::find`], with what is known about the reference.
    pub(super) fn find_record(
        &self,
        reference: &ImageReference,
    ) -> Result<Option<(Record, Image)>, ImageError> {
        let record = match (self.references.get(reference)?, reference.digest()) {
            (Some(record), _) => Some(record),
            (None, None) => None,
            (None, Some(digest)) => self.references.list()?.into_iter().find(|record| {
                record.reference.registry() == reference.registry()
                    && record.reference.repository() == reference.repository()
                    && (record.target == *digest || record.manifest == *digest)
            }),
        };
        let Some(record) = record else { return Ok(None) };
        let image = self.image(&record)?;
        Ok(image.map(|image| (record, Image { reference: reference.clone(), ..image })))
    }

    /// All images that are whole, by reference.
    pub(super) fn list(&self) -> Result<Vec<Image>, ImageError> {
        let records = self.references.list()?;
        records.iter().filter_map(|record| self.image(record).transpose()).collect()
    }

    /// The image of a record; `None` if a part of it is not here.
    pub(super) fn image(&self, record: &Record) -> Result<Option<Image>, ImageError> {
        let Some(parsed) = self.parsed(&record.manifest)? else { return Ok(None) };
        if !parsed.layers.iter().all(|layer| self.layers.contains(&layer.diff_id)) {
            return Ok(None);
        }
        Ok(Some(Image {
            reference: record.reference.clone(),
            digest: record.target,
            config_digest: parsed.config_digest,
            layers: parsed.layers,
            config: parsed.config,
        }))
    }

    fn parsed(&self, manifest: &Digest) -> Result<Option<Parsed>, ImageError> {
        let known = || self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parsed) = known().get(manifest) {
            return Ok(Some(parsed.clone()));
        }
        let Some(document) = self.read_document(manifest)? else { return Ok(None) };
        let Document::Manifest(document) = document else {
            let problem = "an index stands where a manifest should";
            return Err(ImageError::malformed("the image manifest", problem));
        };
        let Some(config) = self.read_config(&document)? else { return Ok(None) };
        let layer = |(descriptor, diff_id): (&manifest::Descriptor, &Digest)| Layer {
            digest: descriptor.digest,
            diff_id: *diff_id,
            size_bytes: descriptor.size,
        };
        let parsed = Parsed {
            config_digest: document.config.digest,
            layers: document.layers.iter().zip(&config.diff_ids).map(layer).collect(),
            config: Arc::new(config.config),
        };
        let mut known = known();
        if known.len() >= PARSED_MAX {
            known.clear();
        }
        known.insert(*manifest, parsed.clone());
        Ok(Some(parsed))
    }

    /// Reads a manifest or index that is in the store.
    pub(super) fn read_document(&self, digest: &Digest) -> Result<Option<Document>, ImageError> {
        let bytes = self.blobs.read(digest, MANIFEST_BYTES_MAX)?;
        bytes.map(|bytes| Document::parse(&bytes, None)).transpose()
    }

    /// Reads a manifest's configuration, and checks that they fit each other.
    pub(super) fn read_config(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<ConfigDocument>, ImageError> {
        let Some(bytes) = self.blobs.read(&manifest.config.digest, CONFIG_BYTES_MAX)? else {
            return Ok(None);
        };
        let config = ConfigDocument::parse(&bytes)?;
        config.check_against(manifest.layers.len())?;
        Ok(Some(config))
    }

    /// Unpacks a layer's blob, which must be here.
    pub(super) fn unpack(
        &self,
        layer: &Digest,
        diff_id: Option<&Digest>,
    ) -> Result<Digest, ImageError> {
        if let Some(diff_id) = diff_id.filter(|diff_id| self.layers.contains(diff_id)) {
            return Ok(*diff_id);
        }
        let blob = self.blobs.reader(layer)?.ok_or_else(|| {
            ImageError::malformed("the image", format!("layer {layer} is missing"))
        })?;
        self.layers.ensure(layer, blob, diff_id)
    }

    /// Makes a reference mean a manifest whose parts are all here. What it meant before can still be
    /// found by its digest: a service may have pinned that.
    pub(super) fn name(&self, record: &Record) -> Result<Image, ImageError> {
        if let Some(old) = self.references.get(&record.reference)?
            && old.target != record.target
        {
            self.references.keep_by_digest(old)?;
        }
        self.references.put(record)?;
        self.image(record)?.ok_or_else(|| {
            let problem = "a part of it was removed while it was stored; try again";
            ImageError::malformed(format!("image {}", record.reference), problem)
        })
    }

    pub(super) fn snapshot(
        &self,
        image: &Image,
        container: &ContainerId,
    ) -> Result<RootFs, SnapshotError> {
        let _lock = self.lock().map_err(SnapshotError::from)?;
        let missing = image.layers.iter().find(|layer| !self.layers.contains(&layer.diff_id));
        if let Some(layer) = missing {
            let image = image.reference.clone();
            return Err(SnapshotError::LayerMissing { layer: layer.diff_id, image });
        }
        let layers = image.layers.iter().rev();
        let mut lower: Vec<_> = layers.map(|layer| self.layers.path(&layer.diff_id)).collect();
        // The same layer twice (empty ones are) says nothing new, and overlayfs refuses it.
        let mut seen = BTreeSet::new();
        lower.retain(|path| seen.insert(path.clone()));
        if lower.is_empty() {
            // An image of no layers: overlayfs wants one.
            lower.push(self.layers.empty().map_err(SnapshotError::from)?);
        }
        self.references.used(&image.reference)?;
        self.snapshots.prepare(image, container, lower)
    }

    pub(super) fn release(&self, container: &ContainerId) -> Result<(), SnapshotError> {
        self.snapshots.release(container)
    }

    pub(super) fn written(&self, container: &ContainerId) -> Result<u64, SnapshotError> {
        self.snapshots.written(container)
    }

    pub(super) fn snapshots(&self) -> Result<Vec<ContainerId>, SnapshotError> {
        Ok(self.snapshots.list()?.into_iter().map(|(container, _)| container).collect())
    }

    /// Removes what neither a reference nor a snapshot needs.
    pub(super) fn prune(&self) -> Result<Pruned, ImageError> {
        let Some(_alone) = self.lock_alone()? else {
            return Err(ImageError::Busy { folder: self.root.clone() });
        };
        self.snapshots.sweep()?;
        let mut pruned = Pruned::default();
        for record in self.references.list()? {
            if self.image(&record)?.is_none() {
                pruned.images += usize::from(self.references.remove(&record.reference)?);
            }
        }
        let needed = self.needed()?;
        pruned.layers = self.layers.retain(&needed.layers)?;
        for blob in self.blobs.list()? {
            if !needed.blobs.contains(&blob.digest) && self.blobs.delete(&blob.digest)? {
                pruned.blobs += 1;
                pruned.bytes += blob.size_bytes;
            }
        }
        Ok(pruned)
    }

    /// Takes away the blobs of `added` that nothing needs, and unneeded layers too if wanted; left to
    /// [`Shelves::prune`] if somebody is at work who may use them.
    pub(super) fn forget(&self, added: &[Digest], with_layers: bool) {
        let forget = || -> Result<(), ImageError> {
            let Some(_alone) = self.lock_alone()? else { return Ok(()) };
            let needed = self.needed()?;
            for digest in added.iter().filter(|digest| !needed.blobs.contains(digest)) {
                self.blobs.delete(digest)?;
            }
            if with_layers {
                self.layers.retain(&needed.layers)?;
            }
            Ok(())
        };
        if let Err(error) = forget() {
            tracing::warn!(%error, "what a load left over could not be removed");
        }
    }

    fn needed(&self) -> Result<Needed, ImageError> {
        let mut needed = Needed::default();
        for record in self.references.list()? {
            needed.blobs.extend([record.target, record.manifest]);
            if let Some(image) = self.image(&record)? {
                needed.blobs.insert(image.config_digest);
                needed.blobs.extend(image.layers.iter().map(|layer| layer.digest));
                needed.layers.extend(image.layers.iter().map(|layer| layer.diff_id));
            }
        }
        for (_, snapshot) in self.snapshots.list()? {
            needed.layers.extend(snapshot.diff_ids);
        }
        Ok(needed)
    }
}

/// What references and snapshots need.
#[derive(Default)]
struct Needed {
    blobs: BTreeSet<Digest>,
    layers: Vec<Digest>,
}
