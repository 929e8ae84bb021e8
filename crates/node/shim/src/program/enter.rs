//! `exec`: runs a command in a running container. Standard input brings an [`Exec`]; the outputs
//! are the command's. The helper waits outside and ends with the command's exit code.
#![allow(unsafe_code)] // fork

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use libcontainer::capabilities::{drop_privileges, reset_effective};
use libcontainer::oci_spec::runtime::{Process, Spec};
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, fork, getpid, setgroups, setresgid, setresuid, setsid,
};
use rustix::process::{PidfdFlags, pidfd_open};
use shim::cgroup::Hierarchies;
use shim::{Exec, Holding, file};

use super::filter::Filter;
use super::launch::read;
use super::workload::{CANNOT_RUN, path_of, replace};

pub(crate) fn exec(pid: &str) -> ExitCode {
    match run(pid) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(CANNOT_RUN as u8)
        }
    }
}

/// What is common to all that enters a container.
pub(super) struct Plan {
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    /// Whether root, whoever the container's user is.
    pub(super) as_root: bool,
    spec: Spec,
    cgroup: String,
    filter: Option<Filter>,
    container: OwnedFd,
    hierarchies: Hierarchies,
}

fn run(pid: &str) -> Result<u8, String> {
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request).map_err(|e| e.to_string())?;
    let exec: Exec = serde_json::from_slice(&request).map_err(|e| e.to_string())?;
    let plan = Plan::of(pid, exec.args, exec.env, false)?;
    plan.join_processes()?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(|error| format!("cannot fork: {error}"))? {
        ForkResult::Child => {
            let (code, message) = become_command(&plan);
            eprintln!("{message}");
            std::process::exit(code);
        }
        ForkResult::Parent { child } => await_end(child),
    }
}

impl Plan {
    /// The plan for the container whose directory is the current one.
    pub(super) fn of(
        pid: &str,
        args: Vec<String>,
        env: BTreeMap<String, String>,
        as_root: bool,
    ) -> Result<Self, String> {
        let pid: i32 = pid.parse().map_err(|_| format!("{pid:?} is not a process id"))?;
        let holding: Holding = read(Path::new(file::HOLDING))?;
        let target = rustix::process::Pid::from_raw(pid).ok_or("process 0")?;
        let gone = |error: &dyn std::fmt::Display| format!("the container has ended: {error}");
        let container = pidfd_open(target, PidfdFlags::empty()).map_err(|error| gone(&error))?;
        // Who asks may be no parent of the container's process, so its id may be another's by now.
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
        if !cgroups.map_err(|error| gone(&error))?.contains(&holding.cgroup) {
            return Err(gone(&"its process is another's"));
        }
        Ok(Self {
            args,
            env,
            as_root,
            spec: read(Path::new(file::BUNDLE))?,
            filter: holding.filter.as_deref().map(Filter::read).transpose()?,
            cgroup: holding.cgroup,
            container,
            hierarchies: Hierarchies::detect().map_err(|e| e.to_string())?,
        })
    }

    /// Lets the next child be in the container's process namespace: only children of a process are
    /// put into one that it joins.
    pub(super) fn join_processes(&self) -> Result<(), String> {
        setns(self.container.as_fd(), CloneFlags::CLONE_NEWPID)
            .map_err(|error| format!("cannot enter the container's processes: {error}"))
    }
}

pub(super) fn await_end(child: Pid) -> Result<u8, String> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code as u8),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(format!("cannot wait for the command: {error}")),
        }
    }
}

/// Takes on everything that the container's own process has, then becomes the command. Returns
/// only if it cannot: the exit code, and why.
fn become_command(plan: &Plan) -> (i32, String) {
    match join(plan).and_then(|()| take_on(plan)) {
        Ok(env) => {
            let Err(failure) = replace(&plan.args, &path_of(&env));
            failure
        }
        Err(message) => (CANNOT_RUN, message),
    }
}

/// Enters the container, with all rights still: its cgroup, its limits, its namespaces.
pub(super) fn join(plan: &Plan) -> Result<(), String> {
    let process = plan.spec.process().as_ref().ok_or("no process is specified")?;
    setsid().map_err(|error| format!("setsid: {error}"))?;
    join_cgroup(plan)?;
    set_limits(process)?;
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWCGROUP;
    setns(plan.container.as_fd(), all)
        .map_err(|error| format!("cannot enter the container: {error}"))
}

/// Takes on the container's rights and environment, which is given back.
pub(super) fn take_on(plan: &Plan) -> Result<Vec<String>, String> {
    let process = plan.spec.process().as_ref().ok_or("no process is specified")?;
    let fail = |what: &'static str| move |error: nix::Error| format!("{what}: {error}");
    nix::unistd::chdir(process.cwd()).map_err(fail("work directory"))?;
    if process.no_new_privileges() == Some(true) {
        nix::sys::prctl::set_no_new_privs().map_err(fail("no new privileges"))?;
    }
    become_user(plan, process)?;
    if let Some(mut filter) = plan.filter.clone() {
        filter.load().map_err(|error| format!("cannot load the seccomp filter: {error}"))?;
    }
    let syscall = create_syscall();
    if let Some(capabilities) = process.capabilities() {
        drop_privileges(capabilities, syscall.as_ref())
            .map_err(|e| format!("capabilities: {e}"))?;
    }
    // A change of user forgets this, so it comes last: a killed helper takes its command along.
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(fail("prctl"))?;
    Ok(set_environment(process, plan))
}

/// The whole id of this process cannot be had in its new process namespace, so "0", which means
/// the writer, is what is written.
fn join_cgroup(plan: &Plan) -> Result<(), String> {
    let _ = getpid();
    plan.hierarchies
        .join(&plan.cgroup, 0)
        .map_err(|error| format!("cannot join cgroup {}: {error}", plan.cgroup))
}

fn set_limits(process: &Process) -> Result<(), String> {
    let syscall = create_syscall();
    for limit in process.rlimits().iter().flatten() {
        syscall.set_rlimit(limit).map_err(|error| format!("ulimit: {error}"))?;
    }
    Ok(())
}

/// Keeps its capabilities over the change, as libcontainer does: they are dropped on purpose next.
fn become_user(plan: &Plan, process: &Process) -> Result<(), String> {
    let user = process.user();
    let (uid, gid) = if plan.as_root { (0, 0) } else { (user.uid(), user.gid()) };
    let fail = |error: nix::Error| format!("cannot become user {uid}: {error}");
    let others = user.additional_gids().iter().flatten().filter(|_| !plan.as_root);
    let groups: Vec<Gid> = others.map(|gid| Gid::from_raw(*gid)).collect();
    setgroups(&groups).map_err(fail)?;
    nix::sys::prctl::set_keepcaps(true).map_err(fail)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setresgid(gid, gid, gid).map_err(fail)?;
    setresuid(uid, uid, uid).map_err(fail)?;
    // Without effective capabilities nothing of what follows would be allowed.
    reset_effective(create_syscall().as_ref()).map_err(|e| format!("capabilities: {e}"))?;
    nix::sys::prctl::set_keepcaps(false).map_err(fail)
}

fn set_environment(process: &Process, plan: &Plan) -> Vec<String> {
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(plan.env.iter().map(|(name, value)| format!("{name}={value}")));
    // SAFETY: this process has one thread.
    unsafe {
        for (name, _) in std::env::vars_os() {
            std::env::remove_var(name);
        }
        for (name, value) in env.iter().filter_map(|entry| entry.split_once('=')) {
            std::env::set_var(name, value);
        }
    }
    env
}
