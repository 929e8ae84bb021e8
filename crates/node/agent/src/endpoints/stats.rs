//! A container's use in the form of Docker's `/containers/<id>/stats?stream=0`, with the network
//! rates that ECS adds (agent-protocol §6.3).

use std::sync::OnceLock;

use runtime::containers::UNLIMITED;
use runtime::{Containers, InterfaceStats, Stats};
use serde_json::{Map, Value, json};
use terms::Timestamp;

use super::samples::{Sample, Samples};
use crate::engine::{Phase, TaskState};

/// When Docker has no earlier sample it says that it was taken at Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The statistics object; `null` while the container does not run.
pub(crate) async fn docker_stats(
    containers: &dyn Containers,
    samples: &Samples,
    task: &TaskState,
    index: usize,
    now: Timestamp,
) -> Value {
    let container = &task.containers[index];
    if container.phase != Phase::Running {
        return Value::Null;
    }
    let Ok(stats) = containers.stats(&container.id).await else { return Value::Null };
    let before = samples.take(&container.id, &stats, now);
    object(&(now, stats), before.as_ref(), container.id.as_str(), &container.docker_name)
}

fn object((read, stats): &Sample, before: Option<&Sample>, id: &str, name: &str) -> Value {
    let interfaces: Map<_, _> =
        stats.interfaces.iter().map(|one| (one.name.clone(), interface(one))).collect();
    let mut object = json!({
        "read": read.to_string(),
        "preread": before.map_or_else(|| NEVER.to_owned(), |(at, _)| at.to_string()),
        "id": id,
        "name": format!("/{name}"),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(stats),
        "precpu_stats": before.map_or_else(|| cpu(&Stats::default()), |(_, stats)| cpu(stats)),
        "memory_stats": memory(stats),
        "pids_stats": pids(stats),
        "blkio_stats": block(stats),
    });
    // Docker leaves them out in the host's network, and ECS the rates until there are two samples.
    if !interfaces.is_empty() {
        object["networks"] = interfaces.into();
        if let Some(before) = before {
            object["network_rate_stats"] = rates(&(*read, stats.clone()), before);
        }
    }
    object
}

fn cpu(stats: &Stats) -> Value {
    json!({
        "cpu_usage": {
            "total_usage": stats.cpu_usage_ns,
            "percpu_usage": stats.cpu_of_each_ns,
            "usage_in_kernelmode": stats.cpu_kernel_ns,
            "usage_in_usermode": stats.cpu_user_ns,
        },
        "system_cpu_usage": stats.system_cpu_ns,
        "online_cpus": std::thread::available_parallelism().map_or(1, |count| count.get()),
        "throttling_data": {
            "periods": stats.cpu_periods,
            "throttled_periods": stats.cpu_throttled_periods,
            "throttled_time": stats.cpu_throttled_ns,
        },
    })
}

/// Without a limit, Docker shows the machine's memory as such.
fn memory(stats: &Stats) -> Value {
    static OF_HOST: OnceLock<u64> = OnceLock::new();
    let of_host =
        || crate::detect_capacity().map_or(UNLIMITED, |host| host.memory.saturating_mul(1 << 20));
    let limit = match stats.memory_limit_bytes {
        UNLIMITED => *OF_HOST.get_or_init(of_host),
        limit => limit,
    };
    let detail: Map<_, _> =
        stats.memory.iter().map(|(name, value)| (name.clone(), Value::from(*value))).collect();
    json!({
        "usage": stats.memory_usage_bytes,
        "max_usage": stats.memory_peak_bytes,
        "limit": limit,
        "stats": detail,
    })
}

fn pids(stats: &Stats) -> Value {
    let mut pids = json!({ "current": stats.pids });
    if let Some(limit) = stats.pids_limit {
        pids["limit"] = limit.into();
    }
    pids
}

/// Sums over the devices, which Docker lists one by one.
fn block(stats: &Stats) -> Value {
    let entry = |operation: &str, value: u64| json!({ "major": 0, "minor": 0, "op": operation, "value": value });
    let pair = |read: u64, write: u64| {
        let total = read.saturating_add(write);
        json!([entry("Read", read), entry("Write", write), entry("Total", total)])
    };
    json!({
        "io_service_bytes_recursive": pair(stats.block_read_bytes, stats.block_write_bytes),
        "io_serviced_recursive": pair(stats.block_read_operations, stats.block_write_operations),
        "io_queue_recursive": [],
        "io_service_time_recursive": [],
        "io_wait_time_recursive": [],
        "io_merged_recursive": [],
        "io_time_recursive": [],
        "sectors_recursive": [],
    })
}

fn interface(interface: &InterfaceStats) -> Value {
    json!({
        "rx_bytes": interface.rx_bytes,
        "rx_packets": interface.rx_packets,
        "rx_errors": interface.rx_errors,
        "rx_dropped": interface.rx_dropped,
        "tx_bytes": interface.tx_bytes,
        "tx_packets": interface.tx_packets,
        "tx_errors": interface.tx_errors,
        "tx_dropped": interface.tx_dropped,
    })
}

/// Bytes a second between two samples, over all interfaces.
fn rates((now, stats): &Sample, (then, before): &Sample) -> Value {
    let seconds = now.since(*then).as_secs_f64();
    let sum = |stats: &Stats, of: fn(&InterfaceStats) -> u64| -> u64 {
        stats.interfaces.iter().map(of).sum()
    };
    let rate = |of: fn(&InterfaceStats) -> u64| {
        let bytes = sum(stats, of).saturating_sub(sum(before, of));
        if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
    };
    json!({
        "rx_bytes_per_sec": rate(|interface| interface.rx_bytes),
        "tx_bytes_per_sec": rate(|interface| interface.tx_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: i64, usage: u64, bytes: u64) -> Sample {
        let eth0 = InterfaceStats {
            name: "eth0".to_owned(),
            rx_bytes: bytes,
            tx_bytes: 2 * bytes,
            ..InterfaceStats::default()
        };
        let stats = Stats {
            cpu_usage_ns: usage,
            system_cpu_ns: 10 * usage,
            memory_limit_bytes: 1 << 20,
            interfaces: vec![eth0],
            ..Stats::default()
        };
        (Timestamp::from_millis(seconds * 1000), stats)
    }

    #[test]
    fn what_was_used_is_shown_beside_what_was_used_before() {
        let (then, now) = (sample(10, 100, 1000), sample(14, 300, 5000));
        let shown = object(&now, Some(&then), "id", "name");
        assert_eq!(shown["preread"], "1970-01-01T00:00:10.000Z");
        assert_eq!(shown["read"], "1970-01-01T00:00:14.000Z");
        assert_eq!(shown["cpu_stats"]["cpu_usage"]["total_usage"], 300);
        assert_eq!(shown["precpu_stats"]["cpu_usage"]["total_usage"], 100);
        assert_eq!(shown["precpu_stats"]["system_cpu_usage"], 1000);
        assert_eq!(shown["network_rate_stats"]["rx_bytes_per_sec"], 1000.0);
        assert_eq!(shown["network_rate_stats"]["tx_bytes_per_sec"], 2000.0);
        assert_eq!(shown["memory_stats"]["limit"], 1 << 20);
    }

    #[test]
    fn a_first_sample_has_nothing_before_it() {
        let shown = object(&sample(10, 100, 1000), None, "id", "name");
        assert_eq!(shown["preread"], NEVER);
        assert_eq!(shown["precpu_stats"]["cpu_usage"]["total_usage"], 0);
        assert!(shown.get("network_rate_stats").is_none());
        assert_eq!(shown["networks"]["eth0"]["rx_bytes"], 1000);
    }
}
