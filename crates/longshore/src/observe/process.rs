//! What the process itself uses, under the names that Prometheus' clients agree on.

use std::fs;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::{Registry, Unit};

use super::figures::figure;

/// Adds them.
pub fn add(registry: &mut Registry) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name stands in parentheses and may hold anything.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    // proc_pid_stat(5) counts from 1; the fields after the name begin with the third.
    let field = |number: usize| -> u64 {
        fields.get(number - 3).and_then(|field| field.parse().ok()).unwrap_or_default()
    };
    let ticks = clock_ticks();
    let cpu = (field(14) + field(15)) as f64 / ticks;
    registry.register_with_unit(
        "process_cpu",
        "Time on processors, of users and of the kernel",
        Unit::Seconds,
        ConstCounter::new(cpu),
    );
    let pages = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    let page_bytes = pages.unwrap_or(4096).unsigned_abs();
    figure(registry, "process_resident_memory_bytes", "Memory in use", field(24) * page_bytes);
    figure(registry, "process_virtual_memory_bytes", "Addresses in use", field(23));
    figure(registry, "process_threads", "Threads", field(20));
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
    figure(registry, "process_open_fds", "Open file descriptors", open);
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    figure(registry, "process_max_fds", "Most file descriptors", limit.map_or(0, |(soft, _)| soft));
    let started = boot_seconds() + field(22) as f64 / ticks;
    figure(registry, "process_start_time_seconds", "When it began, since 1970", started);
}

fn clock_ticks() -> f64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    ticks.unwrap_or(100) as f64
}

/// When the machine began, in seconds since 1970.
fn boot_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or_default()
}
