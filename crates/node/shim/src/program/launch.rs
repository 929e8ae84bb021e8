//! `create`: builds the container and ends. Its directory is the container's; standard input is a
//! pipe for the outcome, standard output and error are the container's.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{FcntlArg, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use shim::cgroup::Hierarchies;
use shim::{Holding, Input, file};

use super::filter::Filter;
use super::root::{Root, mount_overlay};
use super::workload::Command;
use super::{hierarchies, loopback, users};

/// libcontainer's name for the container, within its own directory.
pub(crate) const INNER_ID: &str = "c";

/// Descriptors of ours in the child start here, beyond the standard ones.
const DESCRIPTORS_FROM: i32 = 3;

/// What `create` says on its outcome pipe.
#[derive(Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The container's first process.
    Created(i32),
    /// Why there is none.
    Failed(String),
}

pub(crate) fn create() -> ExitCode {
    let (outcome_pipe, built) = match descriptors() {
        Ok([outcome, stdout, stderr]) => (outcome, build(stdout, stderr)),
        Err(error) => {
            eprintln!("longshore-shim: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (outcome, code) = match built {
        Ok(pid) => (Outcome::Created(pid), ExitCode::SUCCESS),
        Err(message) => (Outcome::Failed(message), ExitCode::FAILURE),
    };
    let bytes = serde_json::to_vec(&outcome).unwrap_or_default();
    match File::from(outcome_pipe).write_all(&bytes) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The outcome's pipe, and the container's two outputs.
fn descriptors() -> std::io::Result<[OwnedFd; 3]> {
    let outcome = duplicate(&std::io::stdin())?;
    Ok([outcome, duplicate(&std::io::stdout())?, duplicate(&std::io::stderr())?])
}

/// The container's standard input. An open one is a pipe that the container itself could write to:
/// so it has a writer as long as it has a reader, and never ends.
fn standard_input(kind: Input) -> std::io::Result<OwnedFd> {
    let file = match kind {
        Input::Nothing | Input::Terminal => File::open("/dev/null")?,
        Input::Open => {
            let (reader, _writer) = nix::unistd::pipe()?;
            let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
            File::options().read(true).write(true).open(path)?
        }
    };
    duplicate(&file)
}

#[allow(unsafe_code)]
fn duplicate(fd: &impl std::os::fd::AsFd) -> std::io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(DESCRIPTORS_FROM))?;
    // SAFETY: F_DUPFD_CLOEXEC has just made this descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn build(stdout: OwnedFd, stderr: OwnedFd) -> Result<i32, String> {
    let directory = std::env::current_dir().map_err(|e| e.to_string())?;
    let holding: Holding = read(&directory.join(file::HOLDING))?;
    let stdin = standard_input(holding.input)
        .map_err(|error| format!("cannot make the standard input: {error}"))?;
    let console = (holding.input == Input::Terminal).then(|| directory.join(file::CONSOLE));
    separate(&holding)?;
    let rootfs = directory.join(file::ROOTFS);
    mount_overlay(&holding.rootfs, &rootfs)?;
    std::env::set_current_dir(&directory).map_err(|e| e.to_string())?;
    Hierarchies::detect()
        .and_then(|all| hierarchies::mount_all(&all, &holding.cgroup, Path::new(file::CGROUPS)))
        .map_err(|error| format!("cannot mount the container's cgroups: {error}"))?;
    let spec = settle(&holding, &rootfs, &directory.join(file::BUNDLE))?;
    let command = Command {
        filter: holding.filter.as_deref().map(Filter::read).transpose()?,
        capabilities: spec.process().as_ref().and_then(|process| process.capabilities().clone()),
    };
    let bundle = write_unrestricted(spec, &directory.join(file::STATE))?;

    let container = ContainerBuilder::new(INNER_ID.to_owned(), SyscallType::default())
        .with_executor(command)
        .with_console_socket(console)
        .with_root_path(directory.join(file::STATE))
        .map_err(chain)?
        .with_stdin(stdin)
        .with_stdout(stdout)
        .with_stderr(stderr)
        .as_init(bundle)
        .with_systemd(false)
        .with_detach(true)
        .build()
        .map_err(chain)?;
    container.pid().map(|pid| pid.as_raw()).ok_or_else(|| "the container has no process".to_owned())
}

/// The document for libcontainer, which drops no capabilities where none are named: [`Command`]
/// does.
fn write_unrestricted(mut spec: Spec, folder: &Path) -> Result<PathBuf, String> {
    let mut process = spec.process().clone().ok_or("no process is specified")?;
    process.set_capabilities(None);
    spec.set_process(Some(process));
    write(&folder.join("config.json"), &spec)?;
    Ok(folder.to_owned())
}

/// Leaves the host's mount namespace, so that what is mounted for the container is gone with it,
/// and its network namespace if the container is to have one without anything.
fn separate(holding: &Holding) -> Result<(), String> {
    let mut flags = CloneFlags::CLONE_NEWNS;
    if holding.isolated_network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags).map_err(|error| format!("cannot make namespaces: {error}"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
        .map_err(|error| format!("cannot make mounts private: {error}"))?;
    if holding.isolated_network {
        loopback::bring_up().map_err(|error| format!("cannot bring up loopback: {error}"))?;
    }
    Ok(())
}

/// Settles what only the image can tell: the user's ids and home, and the work directory.
fn settle(holding: &Holding, rootfs: &Path, config: &Path) -> Result<Spec, String> {
    let read_root = |error: std::io::Error| format!("cannot read the image's files: {error}");
    let root = Root::open(rootfs).map_err(read_root)?;
    let passwd = root.read("/etc/passwd").map_err(read_root)?;
    let group = root.read("/etc/group").map_err(read_root)?;
    let user = users::find(&holding.user, &passwd, &group)?;

    let mut spec: Spec = read(config)?;
    let mut process = spec.process().clone().ok_or("no process is specified")?;
    let cwd = process.cwd().clone();
    root.make_directories(&cwd)
        .map_err(|error| format!("cannot make the work directory {}: {error}", cwd.display()))?;
    let mut oci_user = process.user().clone();
    oci_user.set_uid(user.uid).set_gid(user.gid).set_additional_gids(Some(user.additional_gids));
    process.set_user(oci_user);
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
        process.set_env(Some(env));
    }
    spec.set_process(Some(process));
    write(config, &spec)?;
    Ok(spec)
}

fn write(file: &Path, spec: &Spec) -> Result<(), String> {
    let text = serde_json::to_vec(spec).map_err(|e| e.to_string())?;
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, String> {
    let text =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// An error with its causes, each said once.
fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
