//! Scanning: what packages an image has, and what advisories say about them.
//!
//! A push or a call writes that an image is to be scanned; [`run`] reads it, so a restart loses nothing.
//! One image is looked through at a time, beside all requests; the advisories are the operator's
//! (`--registry-osv`).
//!
//! **Invariant:** that an image has no findings is said only where there are advisories about what it is
//! made of.

mod advisories;
mod contents;
mod findings;
mod renew;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub(crate) use self::advisories::Advisories;
use self::contents::{Contents, LayerError};
use self::findings::{Outcome, judge};
use crate::Inner;
use crate::depot::{Depot, DepotError, Hold, blocking};
use crate::error::Error;
use crate::model::{Finding, MANIFEST_BYTES_MAX, Scan, ScanState};
use crate::push::beside;
use crate::tables::{DigestKey, changed};

/// A look for news among the advisories.
const PAUSE: Duration = Duration::from_secs(60);
/// What passes before a scan is tried again whose outcome could not be written.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// The largest file of findings, unpacked, in bytes: twice what the most of them have.
const FINDINGS_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How hard they are packed.
const ZSTD_LEVEL: i32 = 3;
/// How often advisories are read anew that change while they are read.
const LOOKS_MAX: usize = 3;
/// The longest description of an outcome, in characters.
const DESCRIPTION_CHARS_MAX: usize = 2_000;

/// The advisories of a server, if it has some.
#[derive(Clone, Debug)]
pub(crate) struct Source(Option<Arc<Mutex<Advisories>>>);

impl Source {
    /// Those in a folder or a zip.
    pub(crate) fn new(root: Option<PathBuf>) -> Self {
        Self(root.map(|root| Arc::new(Mutex::new(Advisories::new(root)))))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
}

/// Why a scan has no outcome.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// The server ends, or the image went.
    #[error("it is not wanted any more")]
    Over,
    /// Our own disk.
    #[error("the image cannot be read here")]
    Depot(#[from] DepotError),
}

/// Scans until `shutdown`.
pub(crate) async fn run(inner: &Arc<Inner>, shutdown: CancellationToken) {
    let mut feed = inner.ledger.subscribe();
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        round(inner, &shutdown).await;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = changed(&mut feed, &inner.tables.scans) => {}
            _ = ticks.tick() => renew::renew(inner, &shutdown).await,
        }
    }
}

/// Looks for news, and scans what is to be scanned by now.
pub(crate) async fn once(inner: &Arc<Inner>) {
    let never = CancellationToken::new();
    renew::renew(inner, &never).await;
    round(inner, &never).await;
}

/// Scans what waits, until nothing does.
async fn round(inner: &Arc<Inner>, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        // The one that waits longest.
        let next = {
            let snapshot = inner.ledger.snapshot();
            let waiting = snapshot.index(&inner.tables.scans_waiting, &());
            waiting.min_by_key(|(_, row)| row.asked_at).map(|(at, row)| (at, Scan::clone(&row)))
        };
        let Some((at, scan)) = next else { return };
        let done = match examine(inner, &at, shutdown).await {
            Ok((outcome, stamp)) => write(inner, &at, &scan, outcome, stamp).await,
            Err(Trouble::Over) if shutdown.is_cancelled() => return,
            Err(Trouble::Over) => remove(inner, &at).await,
            Err(trouble @ Trouble::Depot(_)) => {
                let why = format!("{}.", terms::with_causes(&trouble));
                write(inner, &at, &scan, Outcome::Failed(why), None).await
            }
        };
        if let Err(error) = done {
            error.log();
            tracing::warn!(%error, "what came of a scan was not written down");
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE_AFTER_TROUBLE) => {}
            }
        }
    }
}

/// Looks through an image.
async fn examine(
    inner: &Arc<Inner>,
    at: &DigestKey,
    shutdown: &CancellationToken,
) -> Result<(Outcome, Option<u64>), Trouble> {
    let image = inner.ledger.snapshot().get(&inner.tables.images, at).ok_or(Trouble::Over)?;
    let Some(source) = inner.advisories.0.clone() else {
        let text = "This server was started without advisories (--registry-osv).";
        return Ok((Outcome::Unavailable(text.to_owned()), None));
    };
    let contents = open(inner, at, image.stored, shutdown).await?;
    let stop = shutdown.clone();
    let done = blocking(move || consult(&contents, &source, &stop)).await;
    done.ok_or(Trouble::Over)
}

/// Reads an image's layers; within, what came of the scan if they have nothing to look up.
async fn open(
    inner: &Inner,
    at: &DigestKey,
    manifest: blobs::Digest,
    shutdown: &CancellationToken,
) -> Result<Result<Contents, Outcome>, Trouble> {
    let Some(depot) = &inner.setup.depot else {
        return Ok(Err(Outcome::Failed("The registry has no place for bytes.".to_owned())));
    };
    let bytes = depot.read(manifest, MANIFEST_BYTES_MAX as u64).await?;
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
        return Ok(Err(Outcome::Failed("The manifest cannot be read.".to_owned())));
    };
    // Attestations have layers of JSON; layers of Windows are never pushed.
    let is_tar = |layer: &Descriptor| {
        let kind = layer.media_type.as_str();
        kind.contains("tar") && !kind.contains("nondistributable") && !kind.contains("foreign")
    };
    let layers: Vec<_> = manifest.layers.into_iter().filter(is_tar).collect();
    if layers.is_empty() {
        let text = "UnsupportedImageError: The image has no layers of files.";
        return Ok(Err(Outcome::Unsupported(text.to_owned())));
    }
    Ok(gather(inner, depot, at, layers, shutdown).await?.map_err(Outcome::Failed))
}

/// Lays the layers over each other; within, why that is impossible.
async fn gather(
    inner: &Inner,
    depot: &Depot,
    at: &DigestKey,
    layers: Vec<Descriptor>,
    shutdown: &CancellationToken,
) -> Result<Result<Contents, String>, Trouble> {
    let mut contents = Contents::default();
    for Descriptor { digest, .. } in layers {
        let layer = beside(&(at.0.clone(), at.1.clone()), &digest);
        let Some(row) = inner.ledger.snapshot().get(&inner.tables.layers, &layer) else {
            // Some layers are never pushed; else the image went.
            let is_there = inner.ledger.snapshot().get(&inner.tables.images, at).is_some();
            let text = format!("The layer {digest} is not in the repository.");
            return if is_there { Ok(Err(text)) } else { Err(Trouble::Over) };
        };
        let layer = depot.reader(row.stored).await?.into_read(row.size_bytes).await?;
        let stop = shutdown.clone();
        let (back, added) = blocking(move || {
            let added = contents.add(layer, &stop);
            (contents, added)
        })
        .await;
        contents = back;
        match added {
            Ok(()) => {}
            Err(LayerError::Stopped) => return Err(Trouble::Over),
            Err(error) => return Ok(Err(format!("The layer {digest} cannot be read: {error}."))),
        }
    }
    Ok(Ok(contents))
}

/// Looks up what an image has, in advisories that are the newest, and tells which those are; none if the
/// server ends.
fn consult(
    contents: &Result<Contents, Outcome>,
    source: &Mutex<Advisories>,
    stop: &CancellationToken,
) -> Option<(Outcome, Option<u64>)> {
    let mut advisories = source.lock();
    let mut looks = 0;
    loop {
        looks += 1;
        let done = advisories.refresh(stop).and_then(|()| match contents {
            Ok(contents) => judge(contents, &advisories, stop),
            Err(outcome) => Ok(outcome.clone()),
        });
        match done {
            Ok(outcome) => return Some((outcome, advisories.stamp())),
            Err(_) if stop.is_cancelled() => return None,
            Err(_) if looks < LOOKS_MAX => advisories.forget(),
            Err(error) => {
                tracing::warn!(%error, "the advisories cannot be read");
                let text = format!("The advisories cannot be read: {error}.");
                return Some((Outcome::Unavailable(text), None));
            }
        }
    }
}

/// Writes down what came of a scan: the file with the findings first, then that it is done.
async fn write(
    inner: &Inner,
    at: &DigestKey,
    asked: &Scan,
    outcome: Outcome,
    stamp: Option<u64>,
) -> Result<(), Error> {
    let (repository, image) = (&at.1, &at.2);
    let mut hold = None;
    let (state, description) = match outcome {
        Outcome::Complete { findings, source_at, description } => {
            let mut counts = BTreeMap::new();
            for finding in &findings {
                *counts.entry(finding.severity.clone()).or_default() += 1;
            }
            tracing::info!(repository, image, findings = findings.len(), "scanned an image");
            if !findings.is_empty() {
                let bytes = blocking(move || pack(&findings)).await;
                hold = Some(inner.depot("StartImageScan")?.put(bytes.into()).await?);
            }
            let findings = hold.as_ref().map(Hold::digest);
            (ScanState::Complete { counts, source_at, findings }, description)
        }
        Outcome::Failed(why) => (ScanState::Failed, why),
        Outcome::Unsupported(why) => (ScanState::Unsupported, why),
        Outcome::Unavailable(why) => (ScanState::Unavailable, why),
    };
    let description: String = description.chars().take(DESCRIPTION_CHARS_MAX).collect();
    let tables = &inner.tables;
    let done = inner.ledger.transact("ecr: scanned", |tx| {
        // The image may have gone.
        if tx.get(&tables.scans, at).as_deref() != Some(asked) {
            return Ok(());
        }
        if let Some(hold) = &hold {
            tables.claim(tx, hold)?;
        }
        let (asked_at, changed_at) = (asked.asked_at, tx.now());
        let (state, description) = (state.clone(), Some(description.clone()));
        let scan = Scan { asked_at, state, changed_at, description, stamp };
        tx.put(&tables.scans, at.clone(), scan);
        Ok::<_, Error>(())
    });
    let done = done.await;
    match (hold, &inner.setup.depot) {
        (Some(hold), Some(depot)) => depot.settle(hold, done).await.map(drop),
        _ => Ok(done.map(drop)?),
    }
}

/// Findings as a file.
fn pack(findings: &[Finding]) -> Vec<u8> {
    let text = serde_json::to_vec(findings).expect("findings are texts");
    zstd::encode_all(&text[..], ZSTD_LEVEL).expect("memory can be written to")
}

/// The findings of a file; none if it is of another form.
fn unpack(bytes: &[u8]) -> Option<Vec<Finding>> {
    let mut text = Vec::new();
    zstd::Decoder::new(bytes).ok()?.take(FINDINGS_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What a scan found, the worst first.
pub(crate) async fn findings_of(inner: &Inner, scan: &Scan) -> Result<Vec<Finding>, Error> {
    let Some(stored) = scan.stored() else { return Ok(Vec::new()) };
    let depot = inner.depot("DescribeImageScanFindings")?;
    let bytes = depot.read(stored, FINDINGS_BYTES_MAX).await?;
    let found = blocking(move || unpack(&bytes)).await;
    found.ok_or_else(|| DepotError::Missing(stored).into())
}

/// Takes away a scan whose image went.
async fn remove(inner: &Inner, at: &DigestKey) -> Result<(), Error> {
    let tables = &inner.tables;
    let done = inner.ledger.transact("ecr: a scan of an image that went", |tx| {
        if tx.get(&tables.images, at).is_none() {
            tx.delete(&tables.scans, at);
        }
        Ok::<_, Error>(())
    });
    Ok(done.await.map(drop)?)
}
