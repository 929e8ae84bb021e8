//! The ledger: commits, conflicts, the feed.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use crate::Catalogue;

/// Meters of the ledger.
#[derive(Debug)]
pub struct Ledger {
    /// Transactions that were made durable.
    pub transactions: Counter,
    /// From taking a batch to the store's word that it is durable.
    pub commit_seconds: Histogram,
    /// Transactions of one batch.
    pub batch_transactions: Histogram,
    /// Rows written.
    pub rows_written: Counter,
    /// Transactions that met a change of what they had read, and ran again.
    pub conflicts: Counter,
    /// Transactions that kept colliding and ran with all others waiting.
    pub alone: Counter,
    /// Transactions refused because too many waited for the store.
    pub crowded: Counter,
    /// Batches that the store did not take.
    pub failures: Counter,
    /// Batches that reached a shared store before the one that they follow, and were sent again.
    pub overtaken: Counter,
    /// Times that this server began to lead.
    pub terms: Counter,
    /// Readers of the feed that fell behind and started again from a snapshot.
    pub lagged: Counter,
}

impl Ledger {
    pub(crate) fn register(catalogue: &mut Catalogue) -> Self {
        let r = &mut catalogue.group("ledger");
        let size = || Unit::Other("transactions".to_owned());
        Self {
            transactions: r.counter("transactions", "Transactions that were made durable"),
            commit_seconds: r.histogram(
                "commit",
                Unit::Seconds,
                "From taking a batch to the store's word that it is durable",
            ),
            batch_transactions: r.histogram("batch", size(), "Transactions of one batch"),
            rows_written: r.counter("rows_written", "Rows written or deleted"),
            conflicts: r.counter("conflicts", "Transactions that collided and ran again"),
            alone: r.counter("alone", "Transactions that ran with all others waiting"),
            crowded: r.counter("crowded", "Transactions refused because too many waited"),
            failures: r.counter("store_failures", "Batches that the store did not take"),
            overtaken: r.counter("overtaken", "Batches that overtook another on their way to etcd"),
            terms: r.counter("terms", "Times that this server began to lead"),
            lagged: r.counter("feed_lagged", "Readers of the feed that fell behind"),
        }
    }

    /// Counts a batch that went to the store.
    pub fn committed(&self, transactions: usize, rows: usize, took: Duration, is_durable: bool) {
        if !is_durable {
            self.failures.inc();
            return;
        }
        self.transactions.inc_by(transactions as u64);
        self.rows_written.inc_by(rows as u64);
        self.batch_transactions.observe(transactions as f64);
        self.commit_seconds.observe(took.as_secs_f64());
    }
}
