//! What an instance of a named type has, for types that the cluster has no instance of.

/// CPU units of one vCPU.
const UNITS: u32 = 1024;

/// Sizes by how many vCPUs they have, for the families below.
const SIZES: &[(&str, u32)] = &[
    ("medium", 1),
    ("large", 2),
    ("xlarge", 4),
    ("2xlarge", 8),
    ("4xlarge", 16),
    ("8xlarge", 32),
    ("12xlarge", 48),
    ("16xlarge", 64),
    ("24xlarge", 96),
];

/// Burstable sizes: vCPUs and MiB, the same for t3, t3a and t4g (EC2 User Guide, "Instance types").
const BURSTABLE: &[(&str, u32, u32)] = &[
    ("nano", 2, 512),
    ("micro", 2, 1024),
    ("small", 2, 2048),
    ("medium", 2, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16_384),
    ("2xlarge", 8, 32_768),
];

/// CPU units and MiB of an EC2 instance type, or of a size written as `UNITSxMIB`, such as
/// `4096x16384`. What the operating system keeps for itself is not taken off.
pub(super) fn size(text: &str) -> Option<(u32, u32)> {
    if let Some((cpu, memory)) = text.split_once('x')
        && let (Ok(cpu), Ok(memory)) = (cpu.parse(), memory.parse())
    {
        return Some((cpu, memory));
    }
    let (family, size) = text.split_once('.')?;
    if matches!(family, "t3" | "t3a" | "t4g") {
        let (_, cpus, memory) = BURSTABLE.iter().find(|(name, ..)| *name == size)?;
        return Some((cpus * UNITS, *memory));
    }
    let (_, cpus) = SIZES.iter().find(|(name, _)| *name == size)?;
    // Of today's generations: compute, general, memory.
    let per_cpu = match family.as_bytes() {
        [b'c', b'5'..=b'8', ..] => 2048,
        [b'm', b'5'..=b'8', ..] => 4096,
        [b'r', b'5'..=b'8', ..] => 8192,
        _ => return None,
    };
    Some((cpus * UNITS, cpus * per_cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_what_ec2_says() {
        let check = |text, expected| assert_eq!(size(text), expected, "{text}");
        check("t3.micro", Some((2048, 1024)));
        check("m5.large", Some((2048, 8192)));
        check("c6i.xlarge", Some((4096, 8192)));
        check("r7g.2xlarge", Some((8192, 65_536)));
        check("4096x16384", Some((4096, 16_384)));
        check("m5.huge", None);
        check("p5.48xlarge", None);
        check("box", None);
    }
}
