//! A layer by way of the peers that are named, then of the registry.

use blobs::{Ingest, IngestError};
use bytes::BytesMut;

use super::manifest::Descriptor;
use super::peers::{Came, Peers, Sought, Way};
use super::pull::{LAYER, Pull, WRITE_BYTES, blocking, write};
use super::{ImageError, PullError, PullEvent};

/// After so many peers that failed, the registry is asked and nobody else.
const PEERS_MAX: usize = 4;

/// Why a peer's layer is not here.
enum Failed {
    /// It was the peer.
    Peer(Came, String),
    /// The store cannot take it.
    Store(PullError),
}

impl Pull {
    /// Sees to it that a layer is in the store.
    pub(super) async fn fetch_layer(&self, layer: &Descriptor) -> Result<(), PullError> {
        let Some(peers) = &self.puller.peers else { return self.fetch(layer, LAYER).await };
        let shelves = std::sync::Arc::clone(&self.puller.shelves);
        let digest = layer.digest;
        if blocking(move || shelves.blobs.contains(&digest)).await || self.share(layer).await? {
            return Ok(());
        }
        let mut avoid = Vec::new();
        while avoid.len() < PEERS_MAX {
            let way = self.seek(&**peers, layer, &avoid).await;
            let Some(peer) = way.peer().map(str::to_owned) else {
                return self.by_registry(layer, way, !avoid.is_empty()).await;
            };
            let mut way = way;
            let (came, why) = match self.by_peer(layer, &mut *way).await {
                Ok(()) => {
                    way.ended(Came::Here);
                    return Ok(());
                }
                Err(Failed::Store(error)) => return Err(error),
                Err(Failed::Peer(came, why)) => (came, why),
            };
            tracing::warn!(peer, %digest, why, "another node did not hand over a layer");
            way.ended(came);
            avoid.push(peer);
        }
        self.begin_again(layer).await?;
        self.fetch(layer, LAYER).await
    }

    async fn seek(&self, peers: &dyn Peers, layer: &Descriptor, avoid: &[String]) -> Box<dyn Way> {
        let (reference, digest, size_bytes) = (&self.reference, &layer.digest, layer.size);
        peers.seek(&Sought { reference, digest, size_bytes, avoid }).await
    }

    /// `is_mixed`: what is here of it came from peers.
    async fn by_registry(
        &self,
        layer: &Descriptor,
        way: Box<dyn Way>,
        is_mixed: bool,
    ) -> Result<(), PullError> {
        if is_mixed {
            self.begin_again(layer).await?;
        }
        let fetched = self.fetch(layer, LAYER).await;
        way.ended(if fetched.is_ok() { Came::Here } else { Came::Nothing });
        fetched
    }

    /// Throws away the part that came from peers: bytes of theirs and of the registry's shall not be
    /// one layer, whose mismatch would be the registry's.
    async fn begin_again(&self, layer: &Descriptor) -> Result<(), PullError> {
        match self.ingest(layer).await? {
            Some(mut ingest) => {
                let restarted = blocking(move || ingest.restart()).await;
                Ok(restarted.map_err(ImageError::from)?)
            }
            None => Ok(()),
        }
    }

    async fn ingest(&self, layer: &Descriptor) -> Result<Option<Ingest>, PullError> {
        let (shelves, digest) = (std::sync::Arc::clone(&self.puller.shelves), layer.digest);
        let ingest = blocking(move || shelves.blobs.ingest(&digest)).await;
        Ok(ingest.map_err(ImageError::from)?)
    }

    async fn by_peer(&self, layer: &Descriptor, way: &mut dyn Way) -> Result<(), Failed> {
        let Some(mut ingest) = self.ingest(layer).await.map_err(Failed::Store)? else {
            return Ok(());
        };
        let store = |error: IngestError| Failed::Store(PullError::Image(error.into()));
        let quiet = |why: String| Failed::Peer(Came::Nothing, why);
        if ingest.offset() >= layer.size {
            ingest.restart().map_err(store)?;
        }
        let begins_at = way.open(ingest.offset()).await.map_err(quiet)?;
        if begins_at != ingest.offset() {
            ingest.restart().map_err(store)?;
            if begins_at != 0 {
                return Err(Failed::Peer(Came::Lies, "it sent another part".to_owned()));
            }
        }
        let mut buffer = BytesMut::new();
        loop {
            let piece = way.piece().await;
            let is_more = matches!(&piece, Ok(Some(_)));
            if let Ok(Some(piece)) = &piece {
                buffer.extend_from_slice(piece);
            }
            if ingest.offset() + buffer.len() as u64 > layer.size {
                ingest.discard();
                return Err(Failed::Peer(Came::Lies, "it sent too much".to_owned()));
            }
            if !buffer.is_empty() && (buffer.len() >= WRITE_BYTES || !is_more) {
                ingest = write(ingest, buffer.split()).await.map_err(Failed::Store)?;
                let (layer, bytes, total_bytes) = (layer.digest, ingest.offset(), layer.size);
                self.listeners.tell(&PullEvent::Fetching { layer, bytes, total_bytes });
            }
            if piece.map_err(quiet)?.is_none() {
                break;
            }
        }
        let size = layer.size;
        match blocking(move || ingest.commit(None, Some(size))).await {
            Ok(_) => Ok(()),
            // What came from others before may be what is wrong: then nobody is blamed.
            Err(error @ IngestError::Digest { .. }) if begins_at > 0 => {
                Err(quiet(error.to_string()))
            }
            Err(error @ IngestError::Digest { .. }) => {
                Err(Failed::Peer(Came::Lies, error.to_string()))
            }
            Err(error @ IngestError::Size { .. }) => Err(quiet(error.to_string())),
            Err(error) => Err(store(error)),
        }
    }
}
