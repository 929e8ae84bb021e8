//! Figures that are not counted as things happen, but read when somebody asks.

use ledger::Ledger;
use prometheus_client::encoding::{EncodeGaugeValue, EncodeLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// Where figures are read from: writes them into the registry.
pub type Source = Box<dyn Fn(&mut Registry) + Send + Sync>;

/// One table of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Table {
    table: &'static str,
}

/// What the ledger holds.
pub fn of_ledger(ledger: &Ledger) -> Source {
    let ledger = ledger.clone();
    Box::new(move |registry| {
        let registry = registry.sub_registry_with_prefix("ledger");
        let revision = ledger.snapshot().revision();
        figure(registry, "revision", "The last durable commit that is known here", revision);
        let rows = ledger.row_counts().into_iter();
        let rows = rows.map(|(table, rows)| (Table { table }, rows as i64));
        figures(registry, "rows", "Rows in memory", rows);
        let waiting = ledger.waiting() as u64;
        figure(registry, "waiting", "Transactions that wait for the store", waiting);
    })
}

/// A figure of its own.
pub fn figure<N>(registry: &mut Registry, name: &str, help: &str, value: N)
where
    N: EncodeGaugeValue + std::fmt::Debug + Send + Sync + 'static,
{
    registry.register(name, help, ConstGauge::new(value));
}

/// One figure for each set of labels.
pub fn figures<L>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, i64)>,
) where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq + std::fmt::Debug + Send + Sync + 'static,
{
    let family = Family::<L, Gauge>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(value);
    }
    registry.register(name, help, family);
}
