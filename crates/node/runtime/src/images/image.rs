//! What an image is: its layers and what its author configured.

use std::collections::BTreeMap;
use std::sync::Arc;

use blobs::Digest;
use serde::{Deserialize, Serialize};

use super::ImageReference;

/// An image in the store: every layer is here and unpacked. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The reference it was asked for, or loaded, by.
    pub reference: ImageReference,
    /// The manifest's digest: what ECS shows as `imageDigest`.
    pub digest: Digest,
    /// The configuration's digest: what Docker shows as the image id.
    pub config_digest: Digest,
    /// Bottom layer first.
    pub layers: Arc<[Layer]>,
    /// What its author configured.
    pub config: Arc<ImageConfig>,
}

impl Image {
    /// The bytes of all layers as they are stored (compressed, if they came so).
    pub fn size_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size_bytes).sum()
    }
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of the layer's blob as the manifest names it.
    pub digest: Digest,
    /// The digest of the uncompressed tar: one unpacked folder for each.
    pub diff_id: Digest,
    /// The blob's length.
    pub size_bytes: u64,
}

/// What an image's author configured for its containers. Task definitions override most of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// `ENTRYPOINT`; `None` if the image has none.
    pub entrypoint: Option<Vec<String>>,
    /// `CMD`: the command without an entry point, else its arguments.
    pub cmd: Option<Vec<String>>,
    /// `ENV` as `NAME=value`.
    pub env: Vec<String>,
    /// `USER`: `uid`, `name`, `uid:gid` or `name:group`; `None` means root.
    pub user: Option<String>,
    /// `WORKDIR`; `None` means `/`.
    pub workdir: Option<String>,
    /// `STOPSIGNAL`: `SIGQUIT`, `QUIT` or `3`; `None` means SIGTERM.
    pub stop_signal: Option<String>,
    /// `EXPOSE`: `80/tcp`, sorted.
    pub exposed_ports: Vec<String>,
    /// `VOLUME`: absolute paths, sorted.
    pub volumes: Vec<String>,
    /// `LABEL`.
    pub labels: BTreeMap<String, String>,
    /// `HEALTHCHECK`'s command (`["CMD-SHELL", "…"]`); ECS itself ignores it.
    pub health_check: Option<Vec<String>>,
}
