//! Filters of system calls: compiled once into a file, loaded by each container.
//!
//! libcontainer would compile the profile anew for every container, which takes half of the time
//! that creating one takes (docs/decisions/0008-container-launch.md), and it mistakes the two numbers of a masked
//! comparison for each other, which refuses every `clone`.

use std::fs::File;
use std::io;
use std::path::Path;

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use nix::libc;
use shim::{Compare, Condition, Profile, Rule};

/// libseccomp's level at which the kernel finds a call by halving, not one by one.
const OPTIMIZE_BINARY_TREE: u32 = 2;

/// Bytes of one instruction.
const INSTRUCTION_BYTES: usize = 8;

#[cfg(target_arch = "x86_64")]
const FURTHER_ARCHITECTURES: &[ScmpArch] = &[ScmpArch::X86, ScmpArch::X32];
#[cfg(target_arch = "aarch64")]
const FURTHER_ARCHITECTURES: &[ScmpArch] = &[ScmpArch::Arm];

/// Compiles the profile on standard input into `file`.
pub(crate) fn compile(file: &Path) -> io::Result<()> {
    let profile: Profile = serde_json::from_reader(io::stdin().lock())?;
    let filter = build(&profile).map_err(io::Error::other)?;
    filter.export_bpf(File::create(file)?).map_err(io::Error::other)
}

fn build(profile: &Profile) -> Result<ScmpFilterContext, libseccomp::error::SeccompError> {
    let mut filter = ScmpFilterContext::new(ScmpAction::Errno(profile.default_errno as i32))?;
    for architecture in FURTHER_ARCHITECTURES {
        filter.add_arch(*architecture)?;
    }
    // Set-user-id programs keep working, as under Docker.
    filter.set_ctl_nnp(false)?;
    // An older libseccomp does without.
    let _ = filter.set_ctl_optimize(OPTIMIZE_BINARY_TREE);
    for rule in &profile.rules {
        add(&mut filter, rule)?;
    }
    Ok(filter)
}

fn add(filter: &mut ScmpFilterContext, rule: &Rule) -> Result<(), libseccomp::error::SeccompError> {
    let action = rule.errno.map_or(ScmpAction::Allow, |errno| ScmpAction::Errno(errno as i32));
    for name in &rule.names {
        // A name that this libseccomp does not know yet stays refused.
        let Ok(call) = ScmpSyscall::from_name(name) else { continue };
        match &rule.condition {
            None => filter.add_rule(action, call)?,
            Some(condition) => filter.add_rule_conditional(action, call, &[compare(condition)])?,
        };
    }
    Ok(())
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let (operator, value) = match condition.compare {
        Compare::Equal(value) => (ScmpCompareOp::Equal, value),
        Compare::Below(value) => (ScmpCompareOp::Less, value),
        Compare::NoneOf(bits) => (ScmpCompareOp::MaskedEqual(bits), 0),
    };
    ScmpArgCompare::new(condition.argument, operator, value)
}

/// A compiled filter.
#[derive(Clone)]
pub(crate) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(file).map_err(|error| {
            format!("cannot read the seccomp filter {}: {error}", file.display())
        })?;
        let (instructions, rest) = bytes.as_chunks::<INSTRUCTION_BYTES>();
        if instructions.is_empty() || !rest.is_empty() {
            return Err(format!("{} is not a seccomp filter", file.display()));
        }
        let read = |b: &[u8; INSTRUCTION_BYTES]| libc::sock_filter {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        };
        Ok(Self(instructions.iter().map(read).collect()))
    }

    /// Puts the calling process, and all that come from it, under the filter for ever. It must be
    /// an administrator still, or have given up gaining rights.
    #[allow(unsafe_code)]
    pub(crate) fn load(&mut self) -> io::Result<()> {
        let length = u16::try_from(self.0.len())
            .map_err(|_| io::Error::other("the seccomp filter is too long"))?;
        let program = libc::sock_fprog { len: length, filter: self.0.as_mut_ptr() };
        // SAFETY: `program` points at `length` instructions that live until the call returns; the
        // kernel copies and checks them.
        let loaded = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
        };
        if loaded == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
