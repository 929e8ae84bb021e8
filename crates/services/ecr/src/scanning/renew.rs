//! Repositories that are watched all the time (`CONTINUOUS_SCAN`): their images are scanned anew when the
//! advisories changed.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::blocking;
use crate::error::Error;
use crate::model::{Scan, ScanState, Status, Watch};
use crate::tables::{DigestKey, NameKey};
use crate::{Inner, Scope};

/// Scans that one transaction asks for.
const BATCH_MAX: usize = 256;

/// Has all images scanned that were not scanned with the advisories of now, where they are watched.
pub(super) async fn renew(inner: &Inner, shutdown: &CancellationToken) {
    if let Err(error) = try_renew(inner, shutdown).await {
        error.log();
        tracing::warn!(%error, "what the advisories have of news is looked up later");
    }
}

async fn try_renew(inner: &Inner, shutdown: &CancellationToken) -> Result<(), Error> {
    let Some(source) = inner.advisories.0.clone() else { return Ok(()) };
    let watched = watched(inner);
    if watched.is_empty() {
        return Ok(());
    }
    let stop = shutdown.clone();
    let looked = blocking(move || {
        let mut advisories = source.lock();
        advisories.refresh(&stop).map(|()| advisories.stamp())
    });
    let stamp = match looked.await {
        Ok(stamp) => stamp,
        Err(_) if shutdown.is_cancelled() => return Ok(()),
        // They may be there again at the next look; what was found before holds until then.
        Err(error) => {
            tracing::warn!(%error, "the advisories cannot be read");
            return Ok(());
        }
    };
    for key in watched {
        let due: Vec<DigestKey> = {
            let snapshot = inner.ledger.snapshot();
            let images = snapshot.prefix(&inner.tables.images, &key);
            let images = images.filter(|(at, image)| {
                let is_there = image.status == Status::Active && image.has_layers();
                is_there && is_old(snapshot.get(&inner.tables.scans, at).as_deref(), stamp)
            });
            images.map(|(at, _)| at).collect()
        };
        for batch in due.chunks(BATCH_MAX) {
            ask(inner, batch, stamp).await?;
        }
    }
    Ok(())
}

/// The repositories that are watched all the time.
fn watched(inner: &Inner) -> Vec<NameKey> {
    let (tables, snapshot) = (&inner.tables, inner.ledger.snapshot());
    let settings = snapshot.prefix(&tables.registries, &());
    let settings: BTreeMap<Scope, _> = settings.filter(|(_, row)| row.is_enhanced()).collect();
    let mut keys = Vec::new();
    for (scope, settings) in &settings {
        let repositories = snapshot.prefix(&tables.repositories, scope);
        let is_meant = |(key, row): &(NameKey, ledger::Row<_>)| {
            settings.watch(&key.1, row).0 == Watch::Continuous
        };
        keys.extend(repositories.filter(is_meant).map(|(key, _)| key));
    }
    keys
}

/// Whether an image is to be scanned with advisories that this stamp tells.
fn is_old(scan: Option<&Scan>, stamp: Option<u64>) -> bool {
    scan.is_none_or(|scan| match scan.state {
        ScanState::Waiting => false,
        // Our own disk failed, whatever the advisories: who asks may try.
        ScanState::Failed if scan.stamp.is_none() => false,
        ScanState::Failed
        | ScanState::Complete { .. }
        | ScanState::Unsupported
        | ScanState::Unavailable => scan.stamp != stamp,
    })
}

async fn ask(inner: &Inner, images: &[DigestKey], stamp: Option<u64>) -> Result<(), Error> {
    let tables = &inner.tables;
    let done = inner.ledger.transact("ecr: scan anew", |tx| {
        for at in images {
            let is_there = tx.get(&tables.images, at).is_some();
            if is_there && is_old(tx.get(&tables.scans, at).as_deref(), stamp) {
                let scan = Scan::asked(tx.now());
                tx.put(&tables.scans, at.clone(), scan);
            }
        }
        Ok::<_, Error>(())
    });
    Ok(done.await.map(drop)?)
}
