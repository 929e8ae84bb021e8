//! WebSockets: after the upgrade, bytes go both ways as they come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{Request, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Noted;
use crate::inbound::Inbound;
use crate::targets::Lease;

/// What is read at once, in bytes.
const PART: usize = 16 * 1024;

/// Whether the client asks for a WebSocket.
pub(super) fn wanted(request: &Request<Inbound>) -> bool {
    let has = |name, wanted: &str| {
        let values = request.headers().get_all(name).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).any(|part| part.trim().eq_ignore_ascii_case(wanted))
    };
    request.version() == Version::HTTP_11 && has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")
}

/// Joins both ends once they have changed over; until both have ended, one fails, or nothing has
/// moved for `idle`.
pub(super) fn join(
    (client, target): (OnUpgrade, OnUpgrade),
    lease: Lease,
    idle: Duration,
    mut noted: Noted,
) {
    tokio::spawn(async move {
        // Counts as outstanding while it lives.
        let _lease = lease;
        let (Ok(client), Ok(target)) = (client.await, target.await) else { return };
        let (there, back) = (Way::default(), Way::default());
        pump((client, target), (&there, &back), idle).await;
        if let Some(entry) = &mut noted {
            let bytes = |way: &Way| way.bytes.load(Ordering::Relaxed);
            entry.tunnelled(bytes(&there), bytes(&back));
        }
    });
}

/// What went one way.
#[derive(Default)]
struct Way {
    bytes: AtomicU64,
    moved: AtomicBool,
}

async fn pump((client, target): (Upgraded, Upgraded), (there, back): (&Way, &Way), idle: Duration) {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_target, to_target) = tokio::io::split(TokioIo::new(target));
    let both = async {
        let there = copy(from_client, to_target, there);
        let back = copy(from_target, to_client, back);
        tokio::try_join!(there, back)
    };
    let mut both = std::pin::pin!(both);
    loop {
        match tokio::time::timeout(idle, both.as_mut()).await {
            Err(_) if there.has_moved() | back.has_moved() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

impl Way {
    /// Whether anything went since the last call.
    fn has_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: &Way,
) -> std::io::Result<()> {
    let mut part = vec![0; PART];
    loop {
        let read = from.read(&mut part).await?;
        way.moved.store(true, Ordering::Relaxed);
        way.bytes.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&part[..read]).await?;
        to.flush().await?;
    }
}
