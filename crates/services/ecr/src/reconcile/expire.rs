//! Applies lifecycle policies.

use std::collections::BTreeMap;

use crate::Inner;
use crate::decide::{Candidate, Taken};
use crate::error::Error;
use crate::model::{Image, Lifecycle, Repository, Status};
use crate::push::beside;
use crate::tables::NameKey;

/// A policy is applied again after this, in milliseconds (ECR: within a day).
const PAUSE_MS: i64 = 3_600_000;
/// Images that one transaction takes.
const BATCH_MAX: usize = 64;

/// Applies the policies of all repositories for which it is time.
pub(super) async fn expire(inner: &Inner) -> Result<(), Error> {
    let now = inner.ledger.clock().now();
    let snapshot = inner.ledger.snapshot();
    let due: Vec<(NameKey, String)> = snapshot
        .prefix(&inner.tables.repositories, &())
        .filter_map(|(key, row)| {
            let lifecycle = row.lifecycle.as_ref()?;
            let last = lifecycle.evaluated_at.map_or(i64::MIN, |at| at.millis());
            (now.millis().saturating_sub(last) >= PAUSE_MS).then(|| (key, lifecycle.text.clone()))
        })
        .collect();
    for (key, text) in due {
        let taken = inner.tables.what_goes(&inner.ledger.snapshot(), &key, &text, now);
        let taken = parents_first(taken);
        for batch in taken.chunks(BATCH_MAX) {
            apply(inner, &key, batch).await?;
        }
        if !taken.is_empty() {
            let (repository, images) = (&key.1, taken.len());
            tracing::info!(repository, images, "a lifecycle policy has taken images");
        }
        mark(inner, &key, &text).await?;
    }
    Ok(())
}

/// Indexes before what they name, which cannot go before them.
fn parents_first(taken: Vec<(Candidate, Taken)>) -> Vec<(Candidate, Taken)> {
    let mut waiting: BTreeMap<String, (Candidate, Taken)> =
        taken.into_iter().map(|one| (one.0.digest.clone(), one)).collect();
    let mut sorted = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_free = |one: &(Candidate, Taken)| {
            !one.0.parents.iter().any(|parent| waiting.contains_key(parent))
        };
        let free: Vec<String> =
            waiting.values().filter(|one| is_free(one)).map(|one| one.0.digest.clone()).collect();
        // Digests cannot name each other in a circle.
        if free.is_empty() {
            break;
        }
        sorted.extend(free.iter().filter_map(|digest| waiting.remove(digest)));
    }
    sorted
}

async fn apply(inner: &Inner, key: &NameKey, batch: &[(Candidate, Taken)]) -> Result<(), Error> {
    let tables = &inner.tables;
    let done = inner.ledger.transact("ecr: apply a lifecycle policy", |tx| {
        for (seen, taken) in batch {
            let at = beside(key, &taken.digest);
            let Some(row) = tx.get(&tables.images, &at) else { continue };
            // What was pushed, tagged or restored meanwhile is another matter.
            let is_same = row.pushed_at == seen.pushed_at
                && row.restored_at == seen.restored_at
                && tables.tags_of(tx, &at) == seen.tags;
            if !is_same {
                continue;
            }
            if taken.archives {
                let (status, archived_at) = (Status::Archived, Some(tx.now()));
                tx.put(&tables.images, at, Image { status, archived_at, ..Image::clone(&row) });
                continue;
            }
            match tables.remove_image(tx, key, &taken.digest) {
                // An index that names it came meanwhile.
                Ok(()) | Err(Error::Referenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    });
    Ok(done.await.map(drop)?)
}

async fn mark(inner: &Inner, key: &NameKey, text: &str) -> Result<(), Error> {
    let done = inner.ledger.transact("ecr: a lifecycle policy was applied", |tx| {
        let Some(row) = tx.get(&inner.tables.repositories, key) else { return Ok(()) };
        let is_same = row.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.text == text);
        if is_same {
            let lifecycle = Some(Lifecycle { text: text.to_owned(), evaluated_at: Some(tx.now()) });
            let row = Repository { lifecycle, ..Repository::clone(&row) };
            tx.put(&inner.tables.repositories, key.clone(), row);
        }
        Ok::<_, Error>(())
    });
    Ok(done.await.map(drop)?)
}
