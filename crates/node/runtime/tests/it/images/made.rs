//! Images made for tests, and stores to put them in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use blobs::{Digest, Durability};
use runtime::images::{ImageStore, PullBehavior, RetryPolicy, Settings};
use serde_json::json;
use tempfile::TempDir;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A store in a folder of its own; retries come at once.
pub(crate) fn store() -> (TempDir, ImageStore) {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), PullBehavior::PreferCached);
    (folder, store)
}

pub(crate) fn open(folder: &Path, behavior: PullBehavior) -> ImageStore {
    ImageStore::open(folder.join("images"), settings(behavior)).unwrap()
}

pub(crate) fn settings(behavior: PullBehavior) -> Settings {
    let first_wait = Duration::from_millis(1);
    Settings {
        behavior,
        retry: RetryPolicy { tries_max: 3, first_wait, longest_wait: first_wait, jitter: 0.0 },
        durability: Durability::Relaxed,
        ..Settings::default()
    }
}

/// The tar of a layer: names and texts; a name that ends in a slash is a folder.
pub(crate) fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(text.len() as u64);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An image: its documents and blobs.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Made {
    /// Of these layers' tars, each stored as it is.
    pub(crate) fn new(layers: &[Vec<u8>]) -> Self {
        Self::with_config(layers, json!({ "Cmd": ["sh"], "Env": ["A=b"], "User": "7:8" }))
    }

    pub(crate) fn with_config(layers: &[Vec<u8>], config: serde_json::Value) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        Self::with_diff_ids(layers, config, &diff_ids)
    }

    pub(crate) fn with_diff_ids(
        layers: &[Vec<u8>],
        config: serde_json::Value,
        diff_ids: &[String],
    ) -> Self {
        let config = serde_json::to_vec(&json!({
            "architecture": "amd64", "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        }))
        .unwrap();
        let descriptor = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() });
        let tar = "application/vnd.oci.image.layer.v1.tar";
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config),
            "layers": layers.iter().map(|layer| descriptor(tar, layer)).collect::<Vec<_>>(),
        }))
        .unwrap();
        Self { manifest, config, layers: layers.to_vec() }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    fn blobs(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.layers.iter().chain([&self.config, &self.manifest])
    }

    /// The files of an OCI layout.
    pub(crate) fn layout(&self, annotations: serde_json::Value) -> BTreeMap<String, Vec<u8>> {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{
            "mediaType": OCI_MANIFEST, "digest": self.digest(), "size": self.manifest.len(),
            "annotations": annotations,
        }]});
        let blobs = self
            .blobs()
            .map(|blob| (format!("blobs/sha256/{}", Digest::of(blob).hex()), blob.clone()));
        blobs
            .chain([
                ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
                ("index.json".to_owned(), serde_json::to_vec(&index).unwrap()),
            ])
            .collect()
    }

    /// The files that older Dockers save.
    pub(crate) fn docker(&self, tags: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let config = format!("{}.json", Digest::of(&self.config).hex());
        let names: Vec<_> = (0..self.layers.len()).map(|n| format!("{n:064}/layer.tar")).collect();
        let manifest = json!([{ "Config": config, "RepoTags": tags, "Layers": names }]);
        let layers = names.into_iter().zip(self.layers.iter().cloned());
        layers
            .chain([
                (config, self.config.clone()),
                ("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap()),
                (format!("{:064}/VERSION", 0), b"1.0".to_vec()),
                ("repositories".to_owned(), b"{}".to_vec()),
            ])
            .collect()
    }
}

/// A tar of whole files.
pub(crate) fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What a store's folder holds: blobs, unpacked layers, references, and what is half-made.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Holdings {
    pub(crate) blobs: usize,
    pub(crate) layers: usize,
    pub(crate) references: usize,
    pub(crate) half_made: usize,
}

pub(crate) fn holdings(folder: &Path) -> Holdings {
    let images = folder.join("images");
    let names = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(images.join(path)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let is_half_made = |name: &&String| name.starts_with(".tmp") || name.contains(".tmp-");
    let (layers, references) = (names("layers"), names("references"));
    let half = |names: &[String]| names.iter().filter(is_half_made).count();
    let half_made = half(&layers) + half(&references) + names("blobs/ingest").len();
    Holdings {
        blobs: names("blobs/sha256").len(),
        layers: layers.len() - half(&layers),
        references: references.len() - half(&references),
        half_made,
    }
}
