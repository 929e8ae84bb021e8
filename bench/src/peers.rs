//! The peers of `api`: emulators from PyPI, in a virtual environment below the work folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use wire::client::Client;
use wire::sigv4::Credentials;

use crate::longshore;
use crate::process::{Process, answers, free_port, output};

const START_LIMIT: Duration = Duration::from_secs(60);

/// An emulator.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// ministack, without Docker: tasks are rows only.
    Ministack,
    /// moto's server.
    Moto,
}

/// A running emulator.
#[derive(Debug)]
pub struct Running {
    _process: Process,
    /// The port of its API.
    pub port: u16,
}

impl Peer {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Moto => "moto",
        }
    }

    /// Starts it on one core.
    pub fn start(self, work: &Path, core: usize) -> Result<Running> {
        let programs = work.join("peers/bin");
        let port = free_port()?;
        let mut command = match self {
            Self::Ministack => Command::new(programs.join("ministack")),
            Self::Moto => Command::new(programs.join("moto_server")),
        };
        let path = match self {
            Self::Ministack => {
                // No Docker: its RunTask then makes rows, which is all that is measured.
                command.env("GATEWAY_PORT", port.to_string()).env("LOG_LEVEL", "WARNING");
                command.env("DOCKER_HOST", "unix:///nonexistent");
                "/_ministack/health"
            }
            Self::Moto => {
                command.arg("--port").arg(port.to_string());
                "/moto-api/"
            }
        };
        let log = work.join(format!("{}.log", self.name()));
        let mut process = Process::start(command, &log, Some(core))?;
        process
            .wait_until(START_LIMIT, || answers(port, path))
            .with_context(|| format!("see {}", log.display()))?;
        Ok(Running { _process: process, port })
    }
}

impl Running {
    /// A caller; the emulators check no signature.
    pub fn client(&self) -> Result<Client> {
        let secret = wire::Secret::new("test".to_owned());
        let credentials = Credentials { access_key_id: "test".into(), secret, session_token: None };
        longshore::client(self.port, credentials)
    }
}

/// Installs the emulators if they are not there.
pub fn install(work: &Path) -> Result<()> {
    let folder = work.join("peers");
    if folder.join("bin/moto_server").exists() && folder.join("bin/ministack").exists() {
        return Ok(());
    }
    output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let packages = ["ministack", "moto[server]"];
    output(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(packages))?;
    Ok(())
}
