//! Samples of what containers use, gathered from one publication to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_protocol::tcs::{
    ContainerMetric, CountStatsSet, NetworkStatsSet, RestartStatsSet, StatsSet, StorageStatsSet,
    TaskMetric,
};
use runtime::{ContainerId, Containers, Stats};
use terms::Timestamp;

use crate::engine::{Phase, Status, TaskState};

const MIB: f64 = 1024.0 * 1024.0;

/// Gathers samples of all running containers.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    containers: BTreeMap<ContainerId, Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    last: Option<(Timestamp, Stats)>,
    cpu: StatsSet,
    memory: StatsSet,
    network: NetworkStatsSet,
    storage: StorageStatsSet,
    has_network: bool,
    /// How many restarts were told.
    restarts: Option<u32>,
}

impl Sampler {
    /// Takes one sample of every running container.
    pub(crate) async fn sample(
        &mut self,
        tasks: &[Arc<TaskState>],
        containers: &dyn Containers,
        now: Timestamp,
    ) {
        let all = tasks.iter().flat_map(|task| &task.containers);
        let running = all.filter(|container| container.phase == Phase::Running);
        let seen: BTreeSet<_> = running.map(|container| container.id.clone()).collect();
        let ids: Vec<_> = seen.iter().cloned().collect();
        let stats = containers.stats_of(&ids).await;
        for (id, stats) in ids.into_iter().zip(stats) {
            if let Some(stats) = stats {
                self.containers.entry(id).or_default().add(stats, now);
            }
        }
        self.containers.retain(|id, _| seen.contains(id));
    }

    /// What was gathered of each running task since the last time.
    pub(crate) fn take(&mut self, tasks: &[Arc<TaskState>]) -> Vec<TaskMetric> {
        let running = tasks.iter().filter(|task| task.status() == Status::Running);
        running
            .map(|task| self.task(task))
            .filter(|task| !task.container_metrics.is_empty())
            .collect()
    }

    fn task(&mut self, task: &TaskState) -> TaskMetric {
        let mut container_metrics = Vec::new();
        for (state, definition) in task.containers.iter().zip(&task.task.containers) {
            let Some(gathered) = self.containers.get_mut(&state.id) else { continue };
            if gathered.cpu.sample_count == 0 {
                continue;
            }
            let restarts = definition.restart_policy.as_ref().filter(|policy| policy.enabled);
            let has_network = gathered.has_network;
            container_metrics.push(ContainerMetric {
                container_name: state.name.clone(),
                cpu_stats_set: Some(std::mem::take(&mut gathered.cpu)),
                memory_stats_set: Some(std::mem::take(&mut gathered.memory)),
                network_stats_set: Some(std::mem::take(&mut gathered.network))
                    .filter(|_| has_network),
                storage_stats_set: Some(std::mem::take(&mut gathered.storage)),
                restart_stats_set: restarts.map(|_| gathered.restarts(state.restarts.count)),
            });
        }
        TaskMetric {
            task_arn: task.task.arn.clone(),
            task_definition_family: task.task.family.clone(),
            task_definition_version: task.task.version.clone(),
            container_metrics,
        }
    }
}

impl Gathered {
    /// The restarts since the last time; those before the first look are old news.
    fn restarts(&mut self, count: u32) -> RestartStatsSet {
        let before = self.restarts.replace(count).unwrap_or(count);
        RestartStatsSet { restart_count: i64::from(count.saturating_sub(before)) }
    }

    /// Rates come from the difference to the sample before; the first one gives none.
    fn add(&mut self, stats: Stats, now: Timestamp) {
        if let Some((at, before)) = &self.last {
            let elapsed = now.since(*at);
            if !elapsed.is_zero() {
                let cpus = std::thread::available_parallelism().map_or(1, |count| count.get());
                let used = stats.cpu_usage_ns.saturating_sub(before.cpu_usage_ns) as f64;
                self.cpu.add(100.0 * used / elapsed.as_nanos() as f64 / cpus as f64);
                self.has_network = !stats.interfaces.is_empty();
                add_network(&mut self.network, before, &stats, elapsed.as_secs_f64());
                let difference = |now: u64, before: u64| now.saturating_sub(before);
                let read = difference(stats.block_read_bytes, before.block_read_bytes);
                let written = difference(stats.block_write_bytes, before.block_write_bytes);
                self.storage.read_size_bytes.add(read);
                self.storage.write_size_bytes.add(written);
                let used =
                    stats.memory_usage_bytes.saturating_sub(stats.memory_inactive_file_bytes);
                self.memory.add(used as f64 / MIB);
            }
        }
        self.last = Some((now, stats));
    }
}

fn add_network(set: &mut NetworkStatsSet, before: &Stats, now: &Stats, seconds: f64) {
    let sum = |stats: &Stats, field: fn(&runtime::InterfaceStats) -> u64| {
        stats.interfaces.iter().map(field).sum::<u64>()
    };
    let difference = |field| sum(now, field).saturating_sub(sum(before, field));
    let add = |set: &mut CountStatsSet, field| set.add(difference(field));
    add(&mut set.rx_bytes, |interface| interface.rx_bytes);
    add(&mut set.rx_packets, |interface| interface.rx_packets);
    add(&mut set.rx_errors, |interface| interface.rx_errors);
    add(&mut set.rx_dropped, |interface| interface.rx_dropped);
    add(&mut set.tx_bytes, |interface| interface.tx_bytes);
    add(&mut set.tx_packets, |interface| interface.tx_packets);
    add(&mut set.tx_errors, |interface| interface.tx_errors);
    add(&mut set.tx_dropped, |interface| interface.tx_dropped);
    set.rx_bytes_per_second.add(difference(|interface| interface.rx_bytes) as f64 / seconds);
    set.tx_bytes_per_second.add(difference(|interface| interface.tx_bytes) as f64 / seconds);
}
