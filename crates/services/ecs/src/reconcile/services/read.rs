//! What the ledger has of a service, as deciders look at it.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Facts, Tx};
use terms::{CapacityProviderName, ContainerInstanceId, Text};

use super::targets;
use crate::decide::service::health;
use crate::decide::service::view::{Alarms, Ended, Ground, Phase, Seen, View};
use crate::model::{
    Container, ContainerInstance, Deployment, DesiredStatus, InstanceStatus, OfDeployment,
    Revision, RevisionId, Service, Task, TaskStatus,
};
use crate::tables::{ClusterKey, InstanceKey, ServiceKey, Tables, TaskKey, place_of};

/// Ends of tasks that one look takes note of; the next look sees the rest.
pub(super) const MAX_ENDED: usize = 40;
/// Earlier deployments that a look knows besides those that are not over: the newest ones that
/// are COMPLETED, the primary one among them.
const COMPLETED: usize = 2;

/// The tables that are read.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) tables: Tables,
    /// Those of target groups, if services can have some.
    pub(crate) balancers: Option<elbv2::Tables>,
}

/// Reads a service; its own rows so that the commit depends on them, tasks and instances as facts.
pub(super) fn view(tx: &Tx<'_>, known: &Known, key: &ServiceKey, service: Service) -> View {
    let (facts, tables) = (tx.facts(), &known.tables);
    let deployments = deployments(tx, tables, key);
    let revisions = revisions(tx, tables, key, &deployments);
    let sets = tx.prefix(&tables.services.task_sets, key);
    let task_sets = sets.map(|(_, row)| (*row).clone()).collect();
    let ended = facts.index(&tables.services.ended_tasks, key).take(MAX_ENDED);
    let ended = ended.filter_map(|(key, row)| ended_of(&key, &row)).collect();
    View {
        service,
        deployments,
        revisions,
        task_sets,
        tasks: tasks(facts, known, key),
        ended,
        eligible: BTreeSet::new(),
        zones: BTreeSet::new(),
        alarms: Alarms::default(),
        unplaced: 0,
    }
}

/// The tasks of a service that have not stopped.
pub(crate) fn tasks(facts: Facts<'_>, known: &Known, key: &ServiceKey) -> Vec<Seen> {
    let mut grounds = Grounds { facts, all: known, known: BTreeMap::new() };
    let rows = facts.index(&known.tables.services.live_tasks, key);
    rows.filter_map(|(key, row)| seen(&key, &row, &mut grounds)).collect()
}

fn deployments(tx: &Tx<'_>, tables: &Tables, key: &ServiceKey) -> Vec<Deployment> {
    let services = &tables.services;
    let open = tx.index(&services.open_deployments, key);
    let mut rows: Vec<Deployment> = open.map(|(_, row)| (*row).clone()).collect();
    // Only this loop completes deployments, so what facts say of them is so.
    let completed = tx.facts().index(&services.completed, key).rev().take(COMPLETED);
    for (_, row) in completed {
        if rows.iter().all(|known| known.id != row.id) {
            rows.push((*row).clone());
        }
    }
    rows
}

fn revisions(
    tx: &Tx<'_>,
    tables: &Tables,
    key: &ServiceKey,
    deployments: &[Deployment],
) -> BTreeMap<RevisionId, Revision> {
    let read = |one: &Deployment| {
        let row = tx.get(&tables.services.revisions, &(key.clone(), one.revision))?;
        Some((one.revision, (*row).clone()))
    };
    deployments.iter().filter_map(read).collect()
}

/// Instances, each read once.
struct Grounds<'a> {
    facts: Facts<'a>,
    all: &'a Known,
    known: BTreeMap<ContainerInstanceId, Ground>,
}

impl Grounds<'_> {
    fn of(&mut self, place: InstanceKey) -> Ground {
        let id = place.1;
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let row = self.facts.get(&self.all.tables.instances, &place);
        let ground = row.map_or_else(Ground::default, |row| ground(&row));
        self.known.insert(id, ground);
        ground
    }
}

fn ground(row: &ContainerInstance) -> Ground {
    let is_away = row.status != InstanceStatus::Inactive && !row.agent.connected;
    Ground {
        is_draining: row.status == InstanceStatus::Draining,
        away_since: row.agent.away_since.filter(|_| is_away),
    }
}

fn seen(key: &TaskKey, row: &Task, grounds: &mut Grounds<'_>) -> Option<Seen> {
    let OfDeployment { id: of, .. } = row.deployment?;
    let phase = match (row.desired, row.status) {
        (DesiredStatus::Stopped, _) => Phase::Stopping,
        (DesiredStatus::Running, TaskStatus::Running) => {
            Phase::Running(row.times.started_at.unwrap_or(row.created_at))
        }
        (DesiredStatus::Running, _) => Phase::Pending,
    };
    let targets = targets::of(&grounds.facts, grounds.all.balancers.as_ref(), row);
    let checks = [health::check(row), targets.health];
    Some(Seen {
        id: key.1,
        of,
        phase,
        check: checks.into_iter().flatten().reduce(health::worse),
        balance: targets.balance,
        unwell: targets.unwell,
        created_at: row.created_at,
        protected_until: row.protected_until,
        instance: row.instance,
        zone: row.zone.clone(),
        provider: row.capacity_provider.clone(),
        ground: grounds.of(place_of(key, row)),
        digests: digests(row),
    })
}

/// The digests that a task reported, once each of its containers has one.
fn digests(row: &Task) -> Option<Vec<(String, String)>> {
    let digest = |container: &Container| {
        Some((container.name.to_string(), container.image_digest.as_deref()?.to_owned()))
    };
    row.containers.iter().map(digest).collect()
}

fn ended_of(key: &TaskKey, row: &Task) -> Option<Ended> {
    Some(Ended {
        id: key.1,
        of: row.deployment?.id,
        code: row.stop.as_ref().map(|stop| stop.code),
        check: health::check(row),
        created_at: row.created_at,
        started_at: row.times.started_at,
        stopped_at: row.times.stopped_at.unwrap_or(row.created_at),
    })
}

/// The zones of a cluster's ACTIVE instances: of all, or of those of a capacity provider.
pub(super) fn zones(
    facts: &Facts<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    provider: Option<&CapacityProviderName>,
) -> BTreeSet<Text> {
    let of = provider.map(ToString::to_string).unwrap_or_default();
    let end = (cluster.clone(), format!("{of}\0"), String::new());
    let mut zones = BTreeSet::new();
    let mut from = (cluster.clone(), of, String::new());
    // From each zone to the next: a look costs what the zones are, not the instances.
    while let Some((_, row)) =
        facts.index_range(&tables.instances_by_zone, from.clone()..end.clone()).next()
    {
        let Some(Some(zone)) = row.attributes.get(placement::ZONE) else { break };
        zones.insert(Text::from(zone.as_str()));
        from.2 = format!("{zone}\0");
    }
    zones
}

#[cfg(test)]
mod tests {
    use agent_protocol::CAPACITY_PROVIDER_ATTRIBUTE;

    use super::*;
    use crate::model::sample::instance;
    use crate::tables::{instance_key, sample};

    #[tokio::test]
    async fn zones_are_those_of_connected_instances_of_the_provider() {
        let (ledger, tables) = sample::ledger();
        let of = |number: u8, zone: &str, provider: Option<&str>| {
            let mut row = instance(number);
            row.attributes.insert(placement::ZONE.to_owned(), Some(zone.to_owned()));
            if let Some(name) = provider {
                let name = Some(name.to_owned());
                row.attributes.insert(CAPACITY_PROVIDER_ATTRIBUTE.to_owned(), name);
            }
            row
        };
        let mut away = of(5, "e", None);
        away.agent.connected = false;
        let mut draining = of(6, "f", None);
        draining.status = InstanceStatus::Draining;
        let rows = [
            of(1, "b", None),
            of(2, "a", Some("spot")),
            of(3, "a", None),
            of(4, "c", Some("spot")),
            away,
            draining,
            instance(7),
        ];
        let cluster = instance_key(&rows[0].arn).0;
        let put = |tx: &mut Tx<'_>| {
            for row in &rows {
                tx.put(&tables.instances, instance_key(&row.arn), row.clone());
            }
            Ok::<_, std::convert::Infallible>(())
        };
        ledger.transact("put", put).await.expect("it is stored");
        let snapshot = ledger.snapshot();
        let zones = |provider: Option<&str>| {
            let provider = provider.map(|name| name.parse().expect("a name"));
            let zones = zones(&snapshot.facts(), &tables, &cluster, provider.as_ref());
            zones.iter().map(|zone| zone.as_str().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(zones(None), "a b c");
        assert_eq!(zones(Some("spot")), "a c");
        assert_eq!(zones(Some("spo")), "");
    }
}
