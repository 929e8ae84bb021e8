//! Files of `/proc` and `/sys` for a container that is to take itself to be on a smaller machine.
//! They tell how large it is, not how it fares: that is in its cgroup.

use std::fmt::Write;

use super::MachineView;

/// Where they are mounted.
pub(super) const MEMINFO: &str = "/proc/meminfo";
pub(super) const CPUINFO: &str = "/proc/cpuinfo";
/// What glibc counts processors by, from 2.35 on.
pub(super) const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Lines of `/proc/meminfo` that stay as they are: they tell of the kernel, not of what is used.
const OF_KERNEL: [&str; 2] = ["VmallocTotal", "Hugepagesize"];

/// The host's `/proc/meminfo`, as of a machine of this memory with nothing in it.
pub(super) fn meminfo(view: MachineView, host: &str) -> String {
    let kib = view.memory_bytes / 1024;
    let mut text = String::new();
    for line in host.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let unit = if value.ends_with(" kB") { " kB" } else { "" };
        let amount = match name {
            "MemTotal" | "MemFree" | "MemAvailable" | "CommitLimit" => kib,
            _ if OF_KERNEL.contains(&name) => {
                let _ = writeln!(text, "{line}");
                continue;
            }
            _ => 0,
        };
        let _ = writeln!(text, "{:<16}{amount:>8}{unit}", format!("{name}:"));
    }
    text
}

/// The first processors of the host's `/proc/cpuinfo`.
pub(super) fn cpuinfo(view: MachineView, host: &str) -> String {
    let is_processor = |part: &&str| part.trim_start().starts_with("processor");
    let (processors, others): (Vec<_>, Vec<_>) =
        host.split("\n\n").filter(|part| !part.trim().is_empty()).partition(is_processor);
    let mut text = String::new();
    for part in processors.iter().take(view.cpus.max(1)).chain(&others) {
        let _ = write!(text, "{}\n\n", part.trim_matches('\n'));
    }
    text
}

/// A list of processors as `/sys/devices/system/cpu/online` has it, for as many as there are.
pub(super) fn online(view: MachineView, host_cpus: usize) -> String {
    match view.cpus.min(host_cpus) {
        0 | 1 => "0\n".to_owned(),
        cpus => format!("0-{}\n", cpus - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: MachineView = MachineView { cpus: 2, memory_bytes: 512 << 20 };

    #[test]
    fn memory_is_the_views_and_unused() {
        let host = "MemTotal:       24684032 kB\nMemFree:         1000000 kB\n\
                    MemAvailable:   20000000 kB\nCached:          7000000 kB\n\
                    HugePages_Total:       3\nHugepagesize:       2048 kB\n";
        let expected = "MemTotal:         524288 kB\nMemFree:          524288 kB\n\
                        MemAvailable:     524288 kB\nCached:                0 kB\n\
                        HugePages_Total:       0\nHugepagesize:       2048 kB\n";
        assert_eq!(meminfo(VIEW, host), expected);
    }

    #[test]
    fn processors_are_the_first_ones() {
        let host = "processor\t: 0\nmodel\t: a\n\nprocessor\t: 1\n\nprocessor\t: 2\n\n";
        assert_eq!(cpuinfo(VIEW, host), "processor\t: 0\nmodel\t: a\n\nprocessor\t: 1\n\n");
        let arm = "processor\t: 0\n\nprocessor\t: 1\n\nHardware\t: x\n";
        let one = MachineView { cpus: 1, ..VIEW };
        assert_eq!(cpuinfo(one, arm), "processor\t: 0\n\nHardware\t: x\n\n");
        for (cpus, host, expected) in
            [(0, 4, "0\n"), (1, 4, "0\n"), (2, 4, "0-1\n"), (8, 4, "0-3\n")]
        {
            assert_eq!(online(MachineView { cpus, ..VIEW }, host), expected);
        }
    }
}
