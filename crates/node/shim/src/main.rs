//! The program that holds one container; `src/lib.rs` has its messages.
//!
//! `hold DIR` is the shim itself: one thread, one container, standard input is its listening
//! socket. `create` and `exec` are its short-lived children, so that the memory which building and
//! entering a container takes is given back. `session` enters one too, for ECS Exec, and stays as
//! long as its command. `mount ROOT MOUNTS` mounts what libcontainer must not make
//! devices in. `filter FILE` compiles a profile of system calls, `share
//! FOLDER` makes namespaces that several containers are in. As `/sbin/docker-init`, which is where a
//! container that wants an init finds this program, it is that init.
//!
//! **Invariants**
//! - A container's exit status is on disk before anyone is told, and before anything is cleaned up.
//! - A shim needs nobody: it holds its container, its output and its exit status whether a runtime
//!   is connected or not, and ends by itself when the container has ended.

mod program {
    pub(crate) mod clock;
    pub(crate) mod connections;
    pub(crate) mod console;
    pub(crate) mod enter;
    pub(crate) mod execs;
    pub(crate) mod filter;
    pub(crate) mod hierarchies;
    pub(crate) mod hold;
    pub(crate) mod init;
    pub(crate) mod last_record;
    pub(crate) mod launch;
    pub(crate) mod logs;
    pub(crate) mod loopback;
    pub(crate) mod memory;
    pub(crate) mod mounts;
    pub(crate) mod root;
    pub(crate) mod session;
    pub(crate) mod share;
    pub(crate) mod users;
    pub(crate) mod workload;
}

use std::path::Path;
use std::process::ExitCode;

use program::{enter, filter, hold, init, launch, mounts, session, share};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.first().map(String::as_str) == Some(shim::INIT_PATH) {
        return init::init(&arguments);
    }
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["hold", directory] => hold::hold(Path::new(directory)),
        ["create"] => return launch::create(),
        ["exec", pid] => return enter::exec(pid),
        ["mount", root, mounts] => mounts::mount_all(Path::new(root), mounts),
        ["session", pid] => return session::session(pid),
        ["share", folder] => share::share(Path::new(folder)),
        ["filter", file] => filter::compile(Path::new(file)),
        ["--version"] => {
            println!("longshore-shim protocol {}", shim::PROTOCOL_VERSION);
            Ok(())
        }
        _ => {
            eprintln!("longshore-shim is started by longshore; it holds one container");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longshore-shim: {error}");
            ExitCode::FAILURE
        }
    }
}
