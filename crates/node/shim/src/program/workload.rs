//! What the container's first process does last: find its command and become it.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libcontainer::capabilities::drop_privileges;
use libcontainer::oci_spec::runtime::{LinuxCapabilities, Spec};
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::execv;

use super::filter::Filter;

/// Exit code of a command that is there but cannot be run, as a shell's.
pub(crate) const CANNOT_RUN: i32 = 126;
/// Exit code of a command that is not there.
pub(crate) const NOT_FOUND: i32 = 127;

/// Where commands without a slash are looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the container's command; its complaints read like Docker's.
///
/// libcontainer is told to leave every capability and to filter nothing: the filter is ours, and
/// loading it takes an administrator, so the capabilities are dropped after it, here.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) filter: Option<Filter>,
    pub(crate) capabilities: Option<LinuxCapabilities>,
}

impl Command {
    /// Gives up what the command is not to have.
    fn restrict(&self) -> Result<(), String> {
        if let Some(mut filter) = self.filter.clone() {
            filter.load().map_err(|error| format!("cannot load the seccomp filter: {error}"))?;
        }
        if let Some(capabilities) = &self.capabilities {
            drop_privileges(capabilities, create_syscall().as_ref())
                .map_err(|error| format!("cannot drop capabilities: {error}"))?;
        }
        Ok(())
    }
}

impl Executor for Command {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (args, path) = command(spec).map_err(ExecutorError::Other)?;
        let Err((_, message)) = replace(&args, &path);
        // Past the start there is nobody to tell but the container's own output, as with Docker.
        eprintln!("{message}");
        Err(ExecutorError::Other(message))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let wrong = ExecutorValidationError::ArgValidationError;
        let (args, path) = command(spec).map_err(wrong)?;
        find(&args[0], &path).map_err(|(_, message)| wrong(message))?;
        self.restrict().map_err(wrong)
    }
}

fn command(spec: &Spec) -> Result<(Vec<String>, String), String> {
    let process = spec.process().as_ref().ok_or("no process is specified")?;
    let args = process.args().clone().unwrap_or_default();
    if args.is_empty() {
        return Err("no command specified".to_owned());
    }
    let env = process.env().as_deref().unwrap_or_default();
    Ok((args, path_of(env)))
}

/// The last `PATH=` of an environment.
pub(crate) fn path_of(env: &[String]) -> String {
    env.iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH)
        .to_owned()
}

/// Becomes the command. Returns only if it cannot: the exit code, and why.
pub(crate) fn replace(args: &[String], path: &str) -> Result<Infallible, (i32, String)> {
    let file = find(&args[0], path)?;
    heed_signals();
    let c_string = |text: &str| CString::new(text).map_err(|_| nul(text));
    let argv = args.iter().map(|a| c_string(a)).collect::<Result<Vec<_>, _>>()?;
    let error = match execv(&c_string(&file)?, &argv) {
        Ok(never) => return Ok(never),
        Err(error) => error,
    };
    let why = match error {
        Errno::ENOEXEC => "exec format error",
        Errno::EACCES => "permission denied",
        other => other.desc(),
    };
    Err((CANNOT_RUN, format!("exec {file}: {why}")))
}

/// Starts the command with no signal blocked or ignored. Both outlast an exec: the shim blocks those
/// it waits for, Rust programs ignore SIGPIPE (`yes | head` would not end), `nohup` SIGHUP.
#[allow(unsafe_code)]
fn heed_signals() {
    // A broken pipe of what made the container waits behind the block, and is none of the command's: to
    // be ignored for a moment takes it away. Without it, one that is no first process of a namespace, for
    // which the kernel itself ignores it, would die of it as soon as it may.
    // SAFETY: neither this nor the default action is a handler of ours that could run at a wrong moment;
    // for a number that has none the call fails.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: as above.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

fn nul(text: &str) -> (i32, String) {
    (CANNOT_RUN, format!("exec: {text:?}: a zero byte in a command"))
}

fn find(name: &str, path: &str) -> Result<String, (i32, String)> {
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(name.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err((CANNOT_RUN, format!("exec: \"{name}\": permission denied")))
            }
            Err(_) => Err((
                NOT_FOUND,
                format!("exec: \"{name}\": stat {name}: no such file or directory"),
            )),
        };
    }
    let mut denied = false;
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{}/{name}", directory.trim_end_matches('/'));
        match executable(Path::new(&candidate)) {
            Ok(()) => return Ok(candidate),
            Err(error) => denied |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    match denied {
        true => Err((CANNOT_RUN, format!("exec: \"{name}\": permission denied"))),
        false => Err((NOT_FOUND, format!("exec: \"{name}\": executable file not found in $PATH"))),
    }
}

fn executable(file: &Path) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    Err(io::ErrorKind::PermissionDenied.into())
}
