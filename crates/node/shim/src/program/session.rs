//! `session`: runs a command with a terminal in a running container: ECS Exec. Standard input is a
//! socket that brings a [`Session`] and takes the terminal; the helper waits outside and ends with
//! the command's exit code. It is the runtime's child, not the shim's: a session ends with its agent
//! (the terminal hangs up), the container does not.
#![allow(unsafe_code)] // fork, and what is asked of terminals

use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use nix::fcntl::OFlag;
use nix::libc;
use nix::pty::{PtyMaster, posix_openpt, unlockpt};
use nix::unistd::{ForkResult, fork};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use shim::Session;

use super::enter::{Plan, await_end, join, take_on};
use super::workload::{CANNOT_RUN, path_of, replace};

/// The variables that Amazon's agent gives its sessions.
const TERM: (&str, &str) = ("TERM", "xterm-256color");
const HOME: (&str, &str) = ("HOME", "/root");

pub(crate) fn session(pid: &str) -> ExitCode {
    match run(pid) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(CANNOT_RUN as u8)
        }
    }
}

fn run(pid: &str) -> Result<u8, String> {
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request).map_err(|e| e.to_string())?;
    let session: Session = serde_json::from_slice(&request).map_err(|e| e.to_string())?;
    if session.args.is_empty() {
        return Err("no command specified".to_owned());
    }
    let mut env = session.env.clone();
    for (name, value) in [TERM, HOME] {
        env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let plan = Plan::of(pid, session.args.clone(), env, true)?;
    plan.join_processes()?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(|error| format!("cannot fork: {error}"))? {
        ForkResult::Child => {
            let (code, message) = become_command(&plan, &session);
            eprintln!("{message}");
            std::process::exit(code);
        }
        ForkResult::Parent { child } => {
            // The socket's last holder in here is the command's process until it has its terminal.
            let _ = nix::unistd::close(0);
            await_end(child)
        }
    }
}

fn become_command(plan: &Plan, session: &Session) -> (i32, String) {
    match prepare(plan, session) {
        Ok(env) => {
            let Err(failure) = replace(&plan.args, &path_of(&env));
            failure
        }
        Err(message) => (CANNOT_RUN, message),
    }
}

/// Enters, makes the terminal there, hands our side of it over, takes on its other side.
fn prepare(plan: &Plan, session: &Session) -> Result<Vec<String>, String> {
    join(plan)?;
    let (master, terminal) = terminal(session)?;
    hand_over(&master)?;
    drop(master);
    let env = take_on(plan)?;
    // Complaints go to where the caller reads them until here, to the terminal from here on.
    for standard in 0..=2 {
        // SAFETY: both are descriptors of this process; the standard ones are nobody's property.
        if unsafe { libc::dup2(terminal.as_raw_fd(), standard) } < 0 {
            return Err(failed("cannot take on the terminal"));
        }
    }
    Ok(env)
}

/// A terminal of the container's own (its `/dev/pts`), which the calling process, leader of its
/// session, is controlled by.
fn terminal(session: &Session) -> Result<(PtyMaster, OwnedFd), String> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let fail = |error: nix::Error| format!("cannot make a terminal in the container: {error}");
    let master = posix_openpt(flags).map_err(fail)?;
    unlockpt(&master).map_err(fail)?;
    // By descriptor, not by name: the name means something in the container alone.
    // SAFETY: the request takes flags and answers with a descriptor.
    let peer = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits()) };
    if peer < 0 {
        return Err(failed("cannot open the terminal"));
    }
    // SAFETY: the descriptor was made just now and is nobody else's.
    let terminal = unsafe { OwnedFd::from_raw_fd(peer) };
    let size =
        libc::winsize { ws_row: session.rows, ws_col: session.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads a `winsize`, which lives until it returns.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    // SAFETY: the request takes a number.
    if unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) } < 0 {
        return Err(failed("cannot be controlled by the terminal"));
    }
    Ok((master, terminal))
}

fn hand_over(master: &PtyMaster) -> Result<(), String> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let socket = std::io::stdin();
    sendmsg(socket.as_fd(), &[IoSlice::new(b"t")], &mut control, SendFlags::NOSIGNAL)
        .map_err(|error| format!("cannot hand over the terminal: {error}"))?;
    Ok(())
}

fn failed(what: &str) -> String {
    format!("{what}: {}", std::io::Error::last_os_error())
}
