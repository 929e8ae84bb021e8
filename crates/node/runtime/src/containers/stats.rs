//! What a container uses, from its cgroups and its network namespace.

use std::fs;
use std::path::Path;

use shim::cgroup::{Hierarchies, field};

use super::{InterfaceStats, Stats, UNLIMITED};

/// Memory limits from here on mean none: version 1 prints a number near 2^63.
const LIMITLESS_FROM: u64 = 1 << 62;

/// Reads them; none if the container is gone.
pub(super) fn read(hierarchies: &Hierarchies, cgroup: &str, pid: i32) -> Option<Stats> {
    let mut stats = Stats::default();
    match hierarchies {
        Hierarchies::V1(_) => read_v1(hierarchies, cgroup, &mut stats)?,
        Hierarchies::V2(_) => read_v2(&hierarchies.directory("", cgroup)?, &mut stats)?,
    }
    if stats.memory_limit_bytes >= LIMITLESS_FROM {
        stats.memory_limit_bytes = UNLIMITED;
    }
    stats.system_cpu_ns = fs::read_to_string("/proc/stat").map_or(0, |text| system_cpu(&text));
    if !shares_host_network(pid) {
        let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
        stats.interfaces = interfaces(&text);
    }
    Some(stats)
}

/// What the machine's processors did until now, by the first line of `/proc/stat`: user, nice,
/// system, idle, iowait, irq, softirq and steal, as Docker sums it.
fn system_cpu(text: &str) -> u64 {
    const TIMES: usize = 8;
    /// `USER_HZ`, which is 100 on every architecture of Linux that containers run on.
    const NS_PER_TICK: u64 = 10_000_000;
    let line = text.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).take(TIMES);
    ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>().saturating_mul(NS_PER_TICK)
}

fn text(directory: &Path, name: &str) -> Option<String> {
    fs::read_to_string(directory.join(name)).ok()
}

fn number(directory: &Path, name: &str) -> Option<u64> {
    let text = text(directory, name)?;
    match text.trim() {
        "max" => Some(UNLIMITED),
        digits => digits.parse().ok(),
    }
}

fn counters(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

fn read_v1(hierarchies: &Hierarchies, cgroup: &str, stats: &mut Stats) -> Option<()> {
    let of = |controller| hierarchies.directory(controller, cgroup);
    if let Some(cpuacct) = of("cpuacct") {
        stats.cpu_usage_ns = number(&cpuacct, "cpuacct.usage")?;
        let each = text(&cpuacct, "cpuacct.usage_percpu").unwrap_or_default();
        stats.cpu_of_each_ns = each.split_whitespace().filter_map(|ns| ns.parse().ok()).collect();
        stats.cpu_user_ns = number(&cpuacct, "cpuacct.usage_user").unwrap_or(0);
        stats.cpu_kernel_ns = number(&cpuacct, "cpuacct.usage_sys").unwrap_or(0);
    }
    if let Some(text) = of("cpu").and_then(|cpu| text(&cpu, "cpu.stat")) {
        stats.cpu_periods = field(&text, "nr_periods").unwrap_or(0);
        stats.cpu_throttled_periods = field(&text, "nr_throttled").unwrap_or(0);
        stats.cpu_throttled_ns = field(&text, "throttled_time").unwrap_or(0);
    }
    let memory = of("memory")?;
    stats.memory_usage_bytes = number(&memory, "memory.usage_in_bytes")?;
    stats.memory_peak_bytes = number(&memory, "memory.max_usage_in_bytes").unwrap_or(0);
    stats.memory_limit_bytes = number(&memory, "memory.limit_in_bytes").unwrap_or(UNLIMITED);
    let detail = text(&memory, "memory.stat")?;
    stats.memory_inactive_file_bytes = field(&detail, "total_inactive_file").unwrap_or(0);
    stats.memory = counters(&detail);
    if let Some(pids) = of("pids") {
        stats.pids = number(&pids, "pids.current").unwrap_or(0);
        stats.pids_limit = number(&pids, "pids.max").filter(|limit| *limit != UNLIMITED);
    }
    if let Some(blkio) = of("blkio") {
        let sums = |name| text(&blkio, name).map(|text| read_and_write(&text)).unwrap_or_default();
        let (read, write) = sums("blkio.throttle.io_service_bytes");
        (stats.block_read_bytes, stats.block_write_bytes) = (read, write);
        let (read, write) = sums("blkio.throttle.io_serviced");
        (stats.block_read_operations, stats.block_write_operations) = (read, write);
    }
    Some(())
}

/// Lines `8:0 Read 4096`, summed over the devices.
fn read_and_write(text: &str) -> (u64, u64) {
    let sum = |operation: &str| {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace().skip(1);
                (words.next()? == operation).then(|| words.next()?.parse::<u64>().ok())?
            })
            .sum()
    };
    (sum("Read"), sum("Write"))
}

fn read_v2(cgroup: &Path, stats: &mut Stats) -> Option<()> {
    const NS_PER_US: u64 = 1000;
    let cpu = text(cgroup, "cpu.stat")?;
    let of = |name| field(&cpu, name).unwrap_or(0);
    stats.cpu_usage_ns = of("usage_usec") * NS_PER_US;
    stats.cpu_user_ns = of("user_usec") * NS_PER_US;
    stats.cpu_kernel_ns = of("system_usec") * NS_PER_US;
    stats.cpu_periods = of("nr_periods");
    stats.cpu_throttled_periods = of("nr_throttled");
    stats.cpu_throttled_ns = of("throttled_usec") * NS_PER_US;
    stats.memory_usage_bytes = number(cgroup, "memory.current").unwrap_or(0);
    stats.memory_peak_bytes = number(cgroup, "memory.peak").unwrap_or(0);
    stats.memory_limit_bytes = number(cgroup, "memory.max").unwrap_or(UNLIMITED);
    let detail = text(cgroup, "memory.stat").unwrap_or_default();
    stats.memory_inactive_file_bytes = field(&detail, "inactive_file").unwrap_or(0);
    stats.memory = counters(&detail);
    stats.pids = number(cgroup, "pids.current").unwrap_or(0);
    stats.pids_limit = number(cgroup, "pids.max").filter(|limit| *limit != UNLIMITED);
    let io = text(cgroup, "io.stat").unwrap_or_default();
    let sum = |name: &str| {
        io.split_whitespace()
            .filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
            .sum()
    };
    stats.block_read_bytes = sum("rbytes");
    stats.block_write_bytes = sum("wbytes");
    stats.block_read_operations = sum("rios");
    stats.block_write_operations = sum("wios");
    Some(())
}

fn shares_host_network(pid: i32) -> bool {
    let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/net")).ok();
    of("self").is_some() && of("self") == of(&pid.to_string())
}

/// `/proc/PID/net/dev`: two lines of headings, then `name: ` and sixteen numbers.
fn interfaces(text: &str) -> Vec<InterfaceStats> {
    text.lines()
        .skip(2)
        .filter_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            let numbers: Vec<u64> =
                numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            let name = name.trim();
            let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
            (name != "lo").then(|| InterfaceStats {
                name: name.to_owned(),
                rx_bytes: at(0),
                rx_packets: at(1),
                rx_errors: at(2),
                rx_dropped: at(3),
                tx_bytes: at(8),
                tx_packets: at(9),
                tx_errors: at(10),
                tx_dropped: at(11),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_both_versions_are_read() {
        assert_eq!(read_and_write("8:0 Read 10\n8:0 Write 5\n8:16 Read 1\nTotal 16\n"), (11, 5));
        let text = "Inter-| Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
                    eth0: 100 2 0 1 0 0 0 0 50 1 0 0 0 0 0 0\n";
        let found = interfaces(text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rx_bytes, found[0].rx_dropped, found[0].tx_bytes), (100, 1, 50));
    }
}
