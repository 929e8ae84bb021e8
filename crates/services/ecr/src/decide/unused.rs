//! Which blobs of repositories nobody needs any more.

use ledger::View;
use terms::Timestamp;

use crate::Tables;
use crate::tables::DigestKey;

/// Blobs that no image of their repository names and that nobody is about to name, some at a time.
pub(crate) fn unused(
    view: &impl View,
    tables: &Tables,
    now: Timestamp,
    count: usize,
) -> Vec<DigestKey> {
    let layers = view.prefix(&tables.layers, &());
    let unused = layers.filter(|(at, row)| {
        row.kept_until <= now && view.index(&tables.images_by_child, at).next().is_none()
    });
    unused.map(|(at, _)| at).take(count).collect()
}
