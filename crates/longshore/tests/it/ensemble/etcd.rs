//! A real etcd for a test: its own ports and folder, gone when dropped.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
        // etcd tells systemd when it serves clients; here, a socket of ours. Its port alone says less:
        // who knocks at a closed port of their own machine may meet themselves.
        let socket = self.data.path().join("ready");
        let _ = std::fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).unwrap();
        ready.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut command = Command::new("etcd");
        command
            .arg("--data-dir")
            .arg(self.data.path().join("etcd"))
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}"), "--log-level", "error"])
            .args(&self.extra)
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("etcd is installed: ./x test does it"));
        let mut word = [0; 64];
        let mut serves =
            || ready.recv(&mut word).is_ok_and(|length| word[..length].starts_with(b"READY=1"));
        assert!(eventually(&mut serves), "etcd does not start");
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
