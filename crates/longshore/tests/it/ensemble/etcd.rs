//! A real etcd for a test: its own ports and folder, gone when dropped.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::harness::eventually;

/// Address and port that nothing uses now.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// One member.
pub struct Etcd {
    child: Option<Child>,
    data: TempDir,
    clients: String,
    peers: String,
    scheme: &'static str,
    extra: Vec<String>,
}

impl Etcd {
    /// Starts it.
    pub fn start() -> Self {
        Self::start_with("http", &[])
    }

    /// Starts it with further flags; `https` needs those of its certificates.
    pub fn start_with(scheme: &'static str, extra: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (clients, peers) = (free_address(), free_address());
        let extra = extra.iter().map(|&flag| flag.to_owned()).collect();
        let mut etcd = Self { child: None, data, clients, peers, scheme, extra };
        etcd.resume();
        etcd
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.clients)
    }

    /// Starts it on its old folder.
    pub fn resume(&mut self) {
        let (clients, peers) = (self.endpoint(), format!("http://{}", self.peers));
        let mut command = Command::new("etcd");
        command
            .arg("--data-dir")
            .arg(self.data.path())
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}"), "--log-level", "error"])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("etcd is installed: ./x test does it"));
        let answers = || TcpStream::connect(&self.clients).is_ok();
        assert!(eventually(answers), "etcd does not start");
    }

    /// Kills it with SIGKILL; [`Etcd::resume`] starts it again.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            let _ = kill(pid, Signal::SIGKILL);
            child.wait().unwrap();
        }
    }

    /// Its address for `--store`.
    pub fn store(&self) -> String {
        let scheme = if self.scheme == "https" { "etcds" } else { "etcd" };
        format!("{scheme}://{}", self.clients)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
