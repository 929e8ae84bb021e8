//! The init of a container that asked for one (`initProcessEnabled`): hands signals on to the
//! command, and reaps what becomes an orphan. It behaves as tini does, which is Docker's.
#![allow(unsafe_code)] // fork

use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, setpgid, tcsetpgrp};

use super::workload::{NOT_FOUND, path_of, replace};

/// `arguments` are the program's own: the name, `--`, the command.
pub(crate) fn init(arguments: &[String]) -> ExitCode {
    let Some(at) = arguments.iter().position(|word| word == "--") else {
        eprintln!("docker-init: no command behind --");
        return ExitCode::from(2);
    };
    let command = &arguments[at + 1..];
    if command.is_empty() {
        eprintln!("docker-init: no command");
        return ExitCode::from(2);
    }
    let signals = SigSet::all();
    if let Err(error) = signals.thread_block() {
        eprintln!("docker-init: cannot block signals: {error}");
        return ExitCode::FAILURE;
    }
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => become_command(command),
        Ok(ForkResult::Parent { child }) => attend(child, &signals),
        Err(error) => {
            eprintln!("docker-init: cannot fork: {error}");
            ExitCode::FAILURE
        }
    }
}

/// In a group of its own, in the foreground of the terminal if there is one.
fn become_command(command: &[String]) -> ExitCode {
    let own = Pid::from_raw(0);
    let _ = setpgid(own, own);
    let _ = tcsetpgrp(std::io::stdin(), nix::unistd::getpid());
    let environment: Vec<String> = std::env::vars_os()
        .map(|(name, value)| format!("{}={}", name.display(), value.display()))
        .collect();
    let Err((code, message)) = replace(command, &path_of(&environment));
    eprintln!("{message}");
    ExitCode::from(u8::try_from(code).unwrap_or(NOT_FOUND as u8))
}

/// Until the command ends: with its exit code.
fn attend(command: Pid, signals: &SigSet) -> ExitCode {
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(command) {
                    return ExitCode::from(code);
                }
            }
            // What stops a background process at its terminal is not for the command.
            Ok(Signal::SIGTTIN | Signal::SIGTTOU) | Err(Errno::EINTR) => {}
            Ok(signal) => {
                let _ = kill(command, signal);
            }
            Err(_) => {}
        }
    }
}

/// All that have ended; the command's exit code if it is among them.
fn reap(command: Pid) -> Option<u8> {
    let mut ended = None;
    loop {
        let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Err(Errno::EINTR) => continue,
            _ => return ended,
        };
        if pid == command {
            ended = Some(code as u8);
        }
    }
}
