//! The body of an upload in pieces of one size, whose memory is used again and again (decision 0169).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use wire::Body;

use super::refusal::{Refusal, Words};

/// A client may send nothing for so long.
const IDLE: Duration = Duration::from_secs(60);

/// A body that comes in pieces.
pub(super) struct Coming {
    body: Body,
    /// What has come and is in no piece yet.
    frame: Bytes,
    /// How many bytes of the upload have come.
    came_bytes: u64,
    /// How many may come.
    limit_bytes: u64,
}

/// Some bytes of a body, and how it ended if it did.
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) ended: Option<Result<(), Refusal>>,
}

impl Coming {
    /// `came_bytes` of the upload are there already; with this body it may have `limit_bytes`.
    pub(super) fn new(body: Body, came_bytes: u64, limit_bytes: u64) -> Self {
        Self { body, frame: Bytes::new(), came_bytes, limit_bytes }
    }

    /// Waits for the next piece of this size, in this room if it has the size.
    pub(super) async fn gather(&mut self, room: BytesMut, size: usize) -> Piece {
        let mut bytes = if room.capacity() == size { room } else { BytesMut::new() };
        let ended = loop {
            if self.frame.is_empty() {
                match self.next().await {
                    Ok(Some(frame)) => self.frame = frame,
                    Ok(None) => break Some(Ok(())),
                    Err(refusal) => break Some(Err(refusal)),
                }
            }
            // Of its whole size when the first byte comes, and never more: one that grew would be copied, and
            // take twice as much. What a connection gives at a time has any size.
            bytes.reserve(size - bytes.len());
            let fits = self.frame.len().min(size - bytes.len());
            bytes.extend_from_slice(&self.frame.split_to(fits));
            if bytes.len() == size {
                break None;
            }
        };
        Piece { bytes: bytes.freeze(), ended }
    }

    /// What the connection gives next; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = match tokio::time::timeout(IDLE, self.body.frame()).await {
                Err(_) => return Err(Refusal::new(Words::Slow, "the body stopped coming")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    return Err(Refusal::new(Words::UploadInvalid, "the body broke off"));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            self.came_bytes += data.len() as u64;
            if self.came_bytes > self.limit_bytes {
                let text = format!("the upload has more than {} bytes", self.limit_bytes);
                return Err(Refusal::new(Words::SizeInvalid, text));
            }
            return Ok(Some(data));
        }
    }
}

/// The memory of a piece that was written, for the next one: threads that take turns with large pieces would
/// leave much of it with the allocator.
pub(super) fn again(bytes: Bytes) -> BytesMut {
    let mut room = bytes.try_into_mut().unwrap_or_default();
    room.clear();
    room
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn coming(bytes: &'static [u8], limit_bytes: u64) -> Coming {
        Coming::new(Body::from(Bytes::from_static(bytes)), 0, limit_bytes)
    }

    #[tokio::test]
    async fn a_body_comes_in_pieces_of_one_size_in_one_room() {
        let mut coming = coming(b"0123456789abcdefghijABCDEFGHIJ", 30);
        let (mut room, mut told, mut places) = (BytesMut::new(), Vec::new(), Vec::new());
        loop {
            let Piece { bytes, ended } = coming.gather(room, 12).await;
            told.push(bytes.to_vec());
            places.push(bytes.as_ptr());
            if let Some(ended) = ended {
                ended.unwrap();
                break;
            }
            room = again(bytes);
        }
        assert_eq!(told, [&b"0123456789ab"[..], b"cdefghijABCD", b"EFGHIJ"]);
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused() {
        let mut coming = coming(b"0123456789", 9);
        assert!(coming.gather(BytesMut::new(), 4).await.ended.unwrap().is_err());
    }

    #[test]
    fn the_memory_of_a_piece_that_somebody_holds_is_not_used_again() {
        let written = BytesMut::from(&b"held"[..]).freeze();
        let held = written.clone();
        assert_eq!(again(written).capacity(), 0);
        assert_eq!(held, "held");
    }
}
