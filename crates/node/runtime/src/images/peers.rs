//! Layers from other nodes: whom a pull asks before it goes to the registry.
//!
//! Manifests and configurations come from the registry alone, which thereby says for each pull that
//! whoever asks may have the image; only its layers may come from elsewhere, and each is checked by the
//! digest that the manifest names.

use async_trait::async_trait;
use blobs::Digest;
use bytes::Bytes;

use super::ImageReference;

/// A layer that a pull lacks.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The image that is pulled.
    pub reference: &'a ImageReference,
    /// The layer's blob.
    pub digest: &'a Digest,
    /// Its length, as the manifest says.
    pub size_bytes: u64,
    /// The peers that failed before within this pull: [`Way::peer`].
    pub avoid: &'a [String],
}

/// Knows where layers are.
#[async_trait]
pub trait Peers: Send + Sync + std::fmt::Debug + 'static {
    /// Where to fetch a layer from. May take long, while others fetch it, but comes to an end.
    async fn seek(&self, layer: &Sought<'_>) -> Box<dyn Way>;
}

/// A way to one layer. Dropped without [`Way::ended`], nothing came of it.
#[async_trait]
pub trait Way: Send {
    /// The peer that it leads to; none: the registry.
    fn peer(&self) -> Option<&str>;

    /// Asks the peer for the layer from byte `offset` on; answers from which byte on it comes.
    ///
    /// # Errors
    /// Why it does not come, in a few words.
    async fn open(&mut self, offset: u64) -> Result<u64, String>;

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// Why no more come.
    async fn piece(&mut self) -> Result<Option<Bytes>, String>;

    /// What came of it.
    fn ended(self: Box<Self>, came: Came);
}

/// What came of a [`Way`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// The layer is here, whole and right.
    Here,
    /// It is not.
    Nothing,
    /// The peer sent bytes that are not the layer's.
    Lies,
}
