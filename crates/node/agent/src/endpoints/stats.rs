//! A container's use in the form of Docker's `/containers/<id>/stats`.

use runtime::{Containers, Stats};
use serde_json::{Map, Value, json};

use crate::engine::{Phase, TaskState};

/// The statistics object; `null` while the container does not run.
pub(crate) async fn docker_stats(
    containers: &dyn Containers,
    task: &TaskState,
    index: usize,
) -> Value {
    let container = &task.containers[index];
    if container.phase != Phase::Running {
        return Value::Null;
    }
    match containers.stats(&container.id).await {
        Ok(stats) => object(&stats, container.id.as_str(), &container.docker_name),
        Err(_) => Value::Null,
    }
}

fn object(stats: &Stats, id: &str, name: &str) -> Value {
    let interfaces: Map<_, _> = stats
        .interfaces
        .iter()
        .map(|interface| {
            let counters = json!({
                "rx_bytes": interface.rx_bytes,
                "rx_packets": interface.rx_packets,
                "rx_errors": interface.rx_errors,
                "rx_dropped": interface.rx_dropped,
                "tx_bytes": interface.tx_bytes,
                "tx_packets": interface.tx_packets,
                "tx_errors": interface.tx_errors,
                "tx_dropped": interface.tx_dropped,
            });
            (interface.name.clone(), counters)
        })
        .collect();
    let memory: Map<_, _> =
        stats.memory.iter().map(|(name, value)| (name.clone(), Value::from(*value))).collect();
    let block = |operation: &str, value: u64| json!({ "op": operation, "value": value });
    json!({
        "id": id,
        "name": format!("/{name}"),
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": stats.cpu_usage_ns,
                "usage_in_kernelmode": stats.cpu_kernel_ns,
                "usage_in_usermode": stats.cpu_user_ns,
            },
            "online_cpus": std::thread::available_parallelism().map_or(1, |count| count.get()),
            "throttling_data": {
                "periods": stats.cpu_periods,
                "throttled_periods": stats.cpu_throttled_periods,
                "throttled_time": stats.cpu_throttled_ns,
            },
        },
        "memory_stats": {
            "usage": stats.memory_usage_bytes,
            "max_usage": stats.memory_peak_bytes,
            "limit": stats.memory_limit_bytes,
            "stats": memory,
        },
        "pids_stats": { "current": stats.pids },
        "blkio_stats": {
            "io_service_bytes_recursive": [
                block("Read", stats.block_read_bytes), block("Write", stats.block_write_bytes),
            ],
            "io_serviced_recursive": [
                block("Read", stats.block_read_operations),
                block("Write", stats.block_write_operations),
            ],
        },
        "networks": interfaces,
    })
}
