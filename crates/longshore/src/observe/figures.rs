//! Figures that are not counted as things happen, but read when somebody asks.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{ClusterFigures, Leadership, Ledger};
use prometheus_client::encoding::{EncodeGaugeValue, EncodeLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use wire::EdgeLoad;

/// Where figures are read from: writes them into the registry.
pub type Source = Box<dyn Fn(&mut Registry) + Send + Sync>;

/// One table of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Table {
    table: &'static str,
}

/// One cluster's tasks or instances in one state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCluster {
    cluster: String,
    status: &'static str,
}

/// The most clusters that have figures of their own; those with the most come first, and the rest
/// are `other` together.
const CLUSTERS_MAX: usize = 50;

/// Counts by cluster and status.
pub fn counts(registry: &mut Registry, name: &str, help: &str, counts: Vec<ecs::Count>) {
    let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
    for count in &counts {
        *totals.entry(&count.cluster).or_default() += count.number;
    }
    let mut largest: Vec<_> = totals.into_iter().collect();
    largest.sort_by_key(|(_, total)| std::cmp::Reverse(*total));
    let named: BTreeSet<&str> = largest.iter().take(CLUSTERS_MAX).map(|(name, _)| *name).collect();
    let mut values: BTreeMap<(&str, &'static str), i64> = BTreeMap::new();
    for count in &counts {
        let cluster = named.get(count.cluster.as_str()).copied().unwrap_or("other");
        *values.entry((cluster, count.status)).or_default() += count.number;
    }
    let values = values.into_iter().map(|((cluster, status), number)| {
        (OfCluster { cluster: cluster.to_owned(), status }, number)
    });
    figures(registry, name, help, values);
}

/// One of the queues of the edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

/// Where the edge's memory goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Bodies {
    direction: &'static str,
}

/// How busy the edge is.
pub fn of_edge(registry: &mut Registry, load: &EdgeLoad) {
    let registry = registry.sub_registry_with_prefix("edge");
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let classes = |api, agents| {
        [(Class { class: "api" }, number(api)), (Class { class: "agents" }, number(agents))]
    };
    let seated = classes(load.api_in_flight, load.agents_in_flight);
    figures(registry, "seats_taken", "Requests that are worked on", seated);
    let waiting = classes(load.api_waiting, load.agents_waiting);
    figures(registry, "seats_awaited", "Requests that wait until they are worked on", waiting);
    let bodies = [
        (Bodies { direction: "in" }, number(load.request_bytes)),
        (Bodies { direction: "out" }, number(load.response_bytes)),
    ];
    figures(registry, "bodies_held_bytes", "Bytes of bodies in memory", bodies);
}

/// One of Fargate's capacity providers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Provider {
    provider: &'static str,
}

/// What tasks used of Fargate, up to now.
pub fn of_fargate(ecs: &ecs::Ecs) -> Source {
    const UNITS_PER_VCPU: u64 = 1024;
    const MIB_PER_GB: u64 = 1024;
    let ecs = ecs.clone();
    Box::new(move |registry| {
        let registry = registry.sub_registry_with_prefix("ecs_fargate");
        let used = ecs.fargate_use();
        let of = |amount: fn(&ecs::FargateUse) -> u64| {
            let one = move |one: &ecs::FargateUse| {
                let value = i64::try_from(amount(one)).unwrap_or(i64::MAX);
                (Provider { provider: one.provider }, value)
            };
            used.iter().map(one).collect::<Vec<_>>()
        };
        let help = "vCPUs times seconds that tasks used of Fargate";
        let cpu = of(|one| one.cpu_unit_seconds / UNITS_PER_VCPU);
        figures(registry, "vcpu_seconds", help, cpu);
        let help = "GB of memory times seconds that tasks used of Fargate";
        figures(registry, "memory_seconds", help, of(|one| one.mib_seconds / MIB_PER_GB));
        let help = "GiB of ephemeral storage beyond 20 times seconds that tasks used of Fargate";
        figures(registry, "storage_seconds", help, of(|one| one.storage_gib_seconds));
    })
}

/// Where load balancers are served: a balancer's name, or the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Serving {
    balancer: String,
}

/// What load balancers have had to do, here and at balancers on hosts of their own.
pub fn of_load_balancers(elb: &elbv2::Elb) -> Source {
    let elb = elb.clone();
    Box::new(move |registry| {
        let joined = elb.balancers() as u64;
        let registry = registry.sub_registry_with_prefix("elb");
        figure(registry, "balancers", "Balancers on hosts of their own that have joined", joined);
        let served = elb.served().into_iter();
        of_served(registry, served.map(|one| (one.balancer, one.count)).collect());
    })
}

/// What the load balancers of this process have had to do.
pub fn of_balancer(name: &str, balancer: &balancer::Balancer) -> Source {
    let (name, balancer) = (name.to_owned(), balancer.clone());
    Box::new(move |registry| {
        let registry = registry.sub_registry_with_prefix("elb");
        let counts = balancer.counts().into_iter();
        of_served(registry, counts.map(|count| (Some(name.clone()), count)).collect());
    })
}

fn of_served(registry: &mut Registry, served: Vec<(Option<String>, balancer::Count)>) {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (place, count) in served {
        let sum = sums.entry(place.unwrap_or_else(|| "server".to_owned())).or_default();
        *sum = (sum.0 + count.requests, sum.1 + count.connections);
    }
    let of = |amount: fn(&(u64, u64)) -> u64| {
        let one = |(balancer, sum): (&String, &(u64, u64))| {
            let number = i64::try_from(amount(sum)).unwrap_or(i64::MAX);
            (Serving { balancer: balancer.clone() }, number)
        };
        sums.iter().map(one).collect::<Vec<_>>()
    };
    let help = "Requests of the load balancers that are served there";
    figures(registry, "requests", help, of(|sum| sum.0));
    let help = "Connections of the load balancers that are served there, and flows of datagrams";
    figures(registry, "connections", help, of(|sum| sum.1));
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
        let leads = matches!(*ledger.leadership().borrow(), Leadership::Leading);
        figure(registry, "leads", "1 if this server takes writes, else 0", u64::from(leads));
        let waiting = ledger.waiting() as u64;
        figure(registry, "waiting", "Transactions that wait for the store", waiting);
        if let Some(cluster) = ledger.cluster() {
            of_cluster(registry, &cluster);
        }
    })
}

/// How this server stands with the etcd that it shares.
fn of_cluster(registry: &mut Registry, cluster: &ClusterFigures) {
    let ClusterFigures { lease_left, behind, servers, store_bytes, quota_bytes } = *cluster;
    let help = "How long this server's lease in etcd lasts if nothing renews it";
    figure(registry, "lease_left_seconds", help, lease_left.as_secs_f64());
    let help = "For how long this server has not made sure that it shows everything";
    figure(registry, "behind_seconds", help, behind.as_secs_f64());
    figure(registry, "servers", "Servers that live, this one included", servers as u64);
    if store_bytes > 0 {
        figure(registry, "store_bytes", "The size of etcd's database", store_bytes);
        figure(registry, "store_quota_bytes", "What it may grow to", quota_bytes);
    }
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
