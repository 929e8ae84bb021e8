//! What a repository holds: images, tags, blobs.

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::Child;

/// Whether an image can be pulled (`imageStatus`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// It can.
    #[default]
    Active,
    /// Put away until it is restored.
    Archived,
}

/// A manifest or an index in a repository. Its bytes are in the file named by `stored`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// As it was pushed, without parameters.
    pub(crate) media_type: String,
    /// Bytes of the manifest itself.
    pub(crate) manifest_bytes: u64,
    /// The SHA-256 of the manifest: the name of its file.
    pub(crate) stored: blobs::Digest,
    /// Whether it names other manifests.
    pub(crate) is_index: bool,
    /// What kind of thing it is, for referrers: its own `artifactType`, else its configuration's
    /// type; an index without one has none.
    pub(crate) artifact_type: Option<String>,
    /// Bytes of layers and configuration, compressed; of an index, those of its largest image.
    pub(crate) image_bytes: u64,
    /// What it names, in its own order.
    pub(crate) children: Vec<Child>,
    /// The digest of the manifest that it refers to, which need not be here.
    pub(crate) subject: Option<String>,
    /// When its digest was first pushed.
    pub(crate) pushed_at: Timestamp,
    /// Whether it can be pulled.
    pub(crate) status: Status,
    /// When it was archived last.
    pub(crate) archived_at: Option<Timestamp>,
    /// When it was restored last.
    pub(crate) restored_at: Option<Timestamp>,
}

/// Types of the configurations of images that run.
const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

impl Image {
    /// Whether it is an image with layers of files: neither an index nor another kind of artifact.
    pub(crate) fn has_layers(&self) -> bool {
        let kind = self.artifact_type.as_deref();
        !self.is_index && kind.is_some_and(|kind| CONFIG_TYPES.contains(&kind))
    }
}

/// What a tag means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    /// The image's digest.
    pub(crate) digest: String,
}

/// A blob of a repository. Its bytes are in the file named by `stored`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// Its length.
    pub(crate) size_bytes: u64,
    /// Its SHA-256: the name of its file.
    pub(crate) stored: blobs::Digest,
    /// Until when it stays though no image names it.
    pub(crate) kept_until: Timestamp,
}

/// When an image was pulled last, within an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pull {
    /// The time.
    pub(crate) at: Timestamp,
}
