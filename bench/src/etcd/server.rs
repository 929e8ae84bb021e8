//! An etcd of the benchmark's own.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::longshore::Place;
use crate::process::Process;

/// A start takes at most this long.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Debian's etcd, one member on loopback, with its data on the disk. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Where it is asked.
    pub endpoint: String,
    /// Taken away after the process.
    _folder: TempDir,
}

impl Server {
    /// Starts it, with its own default of a quota (2 GiB) unless one is named.
    pub fn start(place: &Place, quota_bytes: Option<u64>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("etcd-").tempdir_in(&place.work)?;
        let ports = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [client, peer] = [ports[0].local_addr()?, ports[1].local_addr()?];
        drop(ports);
        let (endpoint, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let mut command = Command::new("etcd");
        command.args(["--name", "bench", "--logger", "zap", "--log-level", "error", "--data-dir"]);
        command.arg(folder.path().join("data"));
        command.args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("bench={peer}")]);
        if let Some(bytes) = quota_bytes {
            command.args(["--quota-backend-bytes", &bytes.to_string()]);
        }
        let mut process = Process::start(command, &place.work.join("etcd.log"), None)?;
        process.wait_until(START_LIMIT, || std::net::TcpStream::connect(client).is_ok())?;
        Ok(Self { process, endpoint, _folder: folder })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}
