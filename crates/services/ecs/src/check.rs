//! What must be so in stored rows, for `longshore store check`.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Findings, Snapshot};
use terms::{AccountId, ContainerInstanceId, Region};

use crate::EcsTables;
use crate::decide::room;
use crate::model::{ContainerInstance, InstanceStatus, Task, TaskStatus};
use crate::tables::{ClusterKey, Tables, definition_key};

impl EcsTables {
    /// Notes every row that breaks an invariant of this crate: tasks without a cluster, an instance
    /// or a definition; instances that hold more than they registered, or a port twice; families
    /// that have given out less revisions than there are; rows under another's key.
    pub fn check(&self, snapshot: &Snapshot, findings: &mut Findings) {
        let tables = &self.rows;
        tasks(tables, snapshot, findings);
        instances(tables, snapshot, findings);
        families(tables, snapshot, findings);
    }

    /// The accounts and regions that have clusters.
    pub fn scopes(&self, snapshot: &Snapshot) -> Vec<(AccountId, Region)> {
        let rows = snapshot.range(&self.rows.clusters, ..);
        let scopes = rows.map(|(key, _)| (key.scope.account, key.scope.region));
        scopes.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn tasks(tables: &Tables, snapshot: &Snapshot, findings: &mut Findings) {
    for (key, task) in snapshot.range(&tables.tasks, ..) {
        let arn = &task.arn;
        if crate::tables::task_key(arn) != key {
            findings.note("ecs.keys", arn, "the task is stored under another key");
        }
        if snapshot.get(&tables.clusters, &key.0).is_none() {
            findings.note("ecs.clusters", arn, "its cluster does not exist");
        }
        if task.status == TaskStatus::Stopped {
            continue;
        }
        match snapshot.get(&tables.instances, &crate::tables::place_of(&key, &task)) {
            None => findings.note("ecs.places", arn, "it has not stopped, and has no instance"),
            Some(row) if row.status == InstanceStatus::Inactive => {
                findings.note("ecs.places", arn, "it has not stopped, but its instance has gone");
            }
            Some(_) => {}
        }
        if snapshot.get(&tables.definitions, &definition_key(&task.definition)).is_none() {
            findings.note("ecs.definitions", arn, "it has not stopped, and has no definition");
        }
    }
}

fn instances(tables: &Tables, snapshot: &Snapshot, findings: &mut Findings) {
    for (key, row) in snapshot.range(&tables.instances, ..) {
        if crate::tables::instance_key(&row.arn) != key {
            findings.note("ecs.keys", &row.arn, "the instance is stored under another key");
        }
        if !key.0.is_fleet() && snapshot.get(&tables.clusters, &key.0).is_none() {
            findings.note("ecs.clusters", &row.arn, "its cluster does not exist");
        }
        if row.status != InstanceStatus::Inactive {
            held(tables, snapshot, (&key.0, key.1), &row, findings);
        }
    }
}

/// That the tasks on an instance fit on it.
fn held(
    tables: &Tables,
    snapshot: &Snapshot,
    (cluster, id): (&ClusterKey, ContainerInstanceId),
    row: &ContainerInstance,
    findings: &mut Findings,
) {
    let tasks: Vec<_> = snapshot.index(&tables.held, &cluster.instance(id)).values().collect();
    let sum = |of: fn(&Task) -> u32| tasks.iter().map(|task| u64::from(of(task))).sum::<u64>();
    let capacity = &row.capacity;
    let amounts = [
        ("CPU units", sum(|task| task.demand.cpu.get()), u64::from(capacity.cpu.get())),
        ("MiB", sum(|task| task.demand.memory.get()), u64::from(capacity.memory.get())),
        ("GPUs", sum(|task| task.demand.gpus), capacity.gpus.len() as u64),
    ];
    for (unit, held, there) in amounts {
        if held > there {
            let problem = format!("its tasks hold {held} {unit}, and it has {there}");
            findings.note("ecs.over-commit", &row.arn, problem);
        }
    }
    let mut taken: [(&str, BTreeSet<u16>); 2] =
        [("TCP", capacity.reserved_tcp.clone()), ("UDP", capacity.reserved_udp.clone())];
    for task in &tasks {
        let demand = room::held(task);
        for ((protocol, taken), ports) in taken.iter_mut().zip([demand.tcp, demand.udp]) {
            for port in ports.into_iter().filter(|port| !taken.insert(*port)) {
                let problem = format!("{protocol} port {port} is taken twice");
                findings.note("ecs.over-commit", &row.arn, problem);
            }
        }
    }
}

fn families(tables: &Tables, snapshot: &Snapshot, findings: &mut Findings) {
    let mut highest = BTreeMap::new();
    for (key, row) in snapshot.range(&tables.definitions, ..) {
        if definition_key(&row.arn) != key {
            findings.note("ecs.keys", &row.arn, "the definition is stored under another key");
        }
        highest.insert((key.0, key.1), key.2);
    }
    for (key, revision) in highest {
        let counter = snapshot.get(&tables.families, &key);
        let given = counter.map_or(0, |counter| counter.last_revision);
        if given < revision {
            let problem = format!("revision {revision} exists, but only {given} were given out");
            findings.note("ecs.families", &key.1, problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use terms::{CpuUnits, MemoryMib};

    use super::*;
    use crate::model::{Capacity, Demand, sample};
    use crate::tables;

    /// What is found after a task and an instance were written; `change` has the last word.
    fn found(change: impl Fn(&mut Task, &mut ContainerInstance)) -> BTreeMap<String, u64> {
        let (ledger, tables) = tables::sample::ledger();
        let (mut task, mut instance) = (sample::task(7), sample::instance(1));
        instance.capacity = Capacity {
            cpu: CpuUnits::new(100),
            memory: MemoryMib::new(100),
            reserved_tcp: [22].into(),
            ..Capacity::default()
        };
        *task.demand = Demand {
            cpu: CpuUnits::new(100),
            memory: MemoryMib::new(100),
            tcp: [80].into(),
            ..Demand::default()
        };
        let key = tables::task_key(&task.arn);
        change(&mut task, &mut instance);
        let written = ledger.transact("write", |tx| {
            let cluster = key.0.clone();
            tx.put(
                &tables.clusters,
                cluster,
                crate::model::Cluster::new(key.0.name.clone(), sample::MADE),
            );
            tx.put(&tables.tasks, key.clone(), task.clone());
            tx.put(&tables.instances, tables::instance_key(&instance.arn), instance.clone());
            Ok::<_, ()>(())
        });
        // In memory it is done at once.
        let done = pin!(written).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(done, Poll::Ready(Ok(_))));
        let mut findings = Findings::default();
        let snapshot = ledger.snapshot();
        super::tasks(&tables, &snapshot, &mut findings);
        super::instances(&tables, &snapshot, &mut findings);
        findings.counts
    }

    #[test]
    fn each_broken_invariant_is_found() {
        let check = |change: fn(&mut Task, &mut ContainerInstance), expected: &[(&str, u64)]| {
            let expected: BTreeMap<String, u64> =
                expected.iter().map(|(rule, count)| ((*rule).to_owned(), *count)).collect();
            assert_eq!(found(change), expected);
        };
        let definition = ("ecs.definitions", 1);
        check(|_, _| {}, &[definition]);
        check(|task, _| task.status = TaskStatus::Stopped, &[]);
        check(
            |task, _| task.demand.cpu = CpuUnits::new(101),
            &[definition, ("ecs.over-commit", 1)],
        );
        check(
            |task, _| {
                task.demand.memory = MemoryMib::new(101);
                task.demand.tcp.insert(22);
            },
            &[definition, ("ecs.over-commit", 2)],
        );
        check(|_, row| row.status = InstanceStatus::Inactive, &[definition, ("ecs.places", 1)]);
        check(|_, row| row.arn = sample::instance(2).arn, &[definition, ("ecs.places", 1)]);
        check(|task, _| task.arn = sample::task(8).arn, &[definition, ("ecs.keys", 1)]);
    }
}
