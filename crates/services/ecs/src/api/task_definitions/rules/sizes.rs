//! CPU and memory of a task, as text.

use terms::{CpuUnits, MemoryMib};

use crate::error::Error;

/// Bounds of task-level CPU on EC2 and EXTERNAL, in units (ECS semantics §3.2).
const TASK_CPU_UNITS: std::ops::RangeInclusive<u32> = 128..=196_608;
/// CPU units of one vCPU.
const UNITS_PER_VCPU: f64 = 1024.0;
/// MiB of one GB, as ECS counts.
const MIB_PER_GB: f64 = 1024.0;

/// Fargate's sizes: CPU units, then memory from, to and by, in MiB (ECS semantics §3.3).
const FARGATE_SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];
/// CPU units that Windows has on Fargate.
const FARGATE_WINDOWS_CPU: std::ops::RangeInclusive<u32> = 1024..=4096;

/// Both types were observed: InvalidParameterException for what is no size
/// (oranmoshai/ecsServiceRestart issue 2), ClientException for one that cannot be.
const INVALID_CPU: &str = "Invalid 'cpu' setting for task.";
const INVALID_MEMORY: &str = "Invalid 'memory' setting for task.";

/// Task-level CPU: units, or `"0.5 vCPU"`.
pub(crate) fn cpu(text: &str) -> Result<CpuUnits, Error> {
    let lower = text.trim().to_ascii_lowercase();
    let units = match lower.strip_suffix("vcpu") {
        Some(count) => scaled(count, UNITS_PER_VCPU),
        None => lower.parse().ok(),
    };
    let units = units.ok_or_else(|| Error::invalid(INVALID_CPU))?;
    let good = TASK_CPU_UNITS.contains(&units);
    good.then_some(CpuUnits::new(units)).ok_or_else(|| Error::client(INVALID_CPU))
}

/// Task-level memory: MiB, or `"0.5 GB"`.
pub(crate) fn memory(text: &str) -> Result<MemoryMib, Error> {
    let lower = text.trim().to_ascii_lowercase();
    let mib = match lower.strip_suffix("gb") {
        Some(count) => scaled(count, MIB_PER_GB),
        None => lower.parse().ok(),
    };
    let mib = mib.ok_or_else(|| Error::invalid(INVALID_MEMORY))?;
    let good = mib >= super::MIN_MEMORY_MIB;
    good.then_some(MemoryMib::new(mib)).ok_or_else(|| Error::client(INVALID_MEMORY))
}

fn scaled(count: &str, unit: f64) -> Option<u32> {
    let amount = count.trim().parse::<f64>().ok()? * unit;
    let whole = amount.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&amount);
    whole.then_some(amount as u32)
}

/// Whether Fargate has this size.
///
/// # Errors
/// The texts that ECS gives when FARGATE is required and the size is none of its own.
pub(crate) fn check_fargate(
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
    windows: bool,
) -> Result<(), Error> {
    let missing = |what: &str| {
        Error::client(format!("Fargate requires that '{what}' be defined at the task level."))
    };
    let cpu = cpu.ok_or_else(|| missing("cpu"))?.get();
    let memory = memory.ok_or_else(|| missing("memory"))?.get();
    let row = FARGATE_SIZES.iter().find(|row| row.0 == cpu);
    let &(_, from, to, step) = row.ok_or_else(|| Error::client(INVALID_CPU))?;
    // Of the smallest size the middle is not a step: 512, 1024 and 2048 MiB.
    let fits = (from..=to).contains(&memory)
        && (memory - from).is_multiple_of(step)
        && (cpu, memory) != (256, 1536)
        && (!windows || FARGATE_WINDOWS_CPU.contains(&cpu));
    fits.then_some(()).ok_or_else(|| {
        Error::client(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See \
             the Amazon ECS documentation for the valid values."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_notations() {
        let check = |text: &str, expected: Option<u32>| {
            assert_eq!(cpu(text).ok().map(CpuUnits::get), expected, "{text}");
        };
        check("256", Some(256));
        check("1 vCPU", Some(1024));
        check(".5vcpu", Some(512));
        check("192 vCPU", Some(196_608));
        check("127", None);
        check("196609", None);
        check("", None);
        check("-1", None);
        check("one", None);
        let check = |text: &str, expected: Option<u32>| {
            assert_eq!(memory(text).ok().map(MemoryMib::get), expected, "{text}");
        };
        check("512", Some(512));
        check("1GB", Some(1024));
        check("0.5 gb", Some(512));
        check("3", None);
        check("1TB", None);
    }

    #[test]
    fn fargate_has_only_its_sizes() {
        let check = |cpu, memory, good: bool| {
            let result =
                check_fargate(Some(CpuUnits::new(cpu)), Some(MemoryMib::new(memory)), false);
            assert_eq!(result.is_ok(), good, "{cpu}/{memory}");
        };
        check(256, 512, true);
        check(256, 1024, true);
        check(256, 1536, false);
        check(256, 2048, true);
        check(512, 512, false);
        check(4096, 30_720, true);
        check(8192, 16_384, true);
        check(8192, 17_408, false);
        check(16_384, 122_880, true);
        check(300, 512, false);
        let (cpu, memory) = (CpuUnits::new(512), MemoryMib::new(1024));
        assert!(check_fargate(None, Some(memory), false).is_err());
        assert!(check_fargate(Some(cpu), None, false).is_err());
        assert!(check_fargate(Some(cpu), Some(memory), true).is_err());
    }
}
