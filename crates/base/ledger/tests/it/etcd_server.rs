//! Debian's etcd, started by the tests on free loopback ports: one, or several as one.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use ledger::EtcdSettings;
use tempfile::TempDir;

use crate::world::settings;

/// How long an etcd may take until it serves.
const START: Duration = Duration::from_secs(240);

/// How often a start looks whether the process still lives.
const LOOK: Duration = Duration::from_millis(200);

/// Ports that another process took meanwhile are tried again so often.
const TRIES: u32 = 5;
/// A term for tests in which none may end: one of two seconds does where the machine is busy.
pub const LONG_LEASE: Duration = Duration::from_secs(60);

/// One etcd; it ends with the value, or with the thread that started it.
pub struct EtcdServer {
    pub endpoint: String,
    name: String,
    peer: String,
    /// All members of its cluster, as `--initial-cluster` takes them.
    cluster: String,
    extra: Vec<String>,
    data: TempDir,
    child: Option<Child>,
    /// Where it says that it serves.
    ready: Option<UnixDatagram>,
}

impl EtcdServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(extra: &[&str]) -> Self {
        for _ in 0..TRIES {
            let [client, peer] = free_ports();
            let mut server = Self::new("test", client, peer, extra);
            server.cluster = format!("test={}", server.peer);
            server.spawn();
            if server.is_ready() {
                return server;
            }
        }
        panic!("etcd did not start; is Debian's etcd-server installed?");
    }

    /// Three members of one etcd.
    pub fn start_three() -> [Self; 3] {
        for _ in 0..TRIES {
            let mut members = ["a", "b", "c"].map(|name| {
                let [client, peer] = free_ports();
                Self::new(name, client, peer, &[])
            });
            let cluster: Vec<_> =
                members.iter().map(|member| format!("{}={}", member.name, member.peer)).collect();
            for member in &mut members {
                member.cluster = cluster.join(",");
                member.spawn();
            }
            if members.iter_mut().all(Self::is_ready) {
                return members;
            }
        }
        panic!("three etcds did not find each other");
    }

    fn new(name: &str, client: u16, peer: u16, extra: &[&str]) -> Self {
        let scheme = if extra.contains(&"--cert-file") { "https" } else { "http" };
        Self {
            endpoint: format!("{scheme}://127.0.0.1:{client}"),
            name: name.to_owned(),
            peer: format!("http://127.0.0.1:{peer}"),
            cluster: String::new(),
            extra: extra.iter().map(|&text| text.to_owned()).collect(),
            data: tempfile::tempdir().unwrap(),
            child: None,
            ready: None,
        }
    }

    fn spawn(&mut self) {
        // etcd tells systemd when it serves clients; here, a socket of ours.
        let socket = self.data.path().join("ready");
        let _ = std::fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).unwrap();
        ready.set_read_timeout(Some(LOOK)).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--name", &self.name, "--log-level", "error"])
            .arg("--data-dir")
            .arg(self.data.path().join("data"))
            .args(["--listen-client-urls", &self.endpoint])
            .args(["--advertise-client-urls", &self.endpoint])
            .args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer])
            .args(["--initial-cluster", &self.cluster, "--logger", "zap"])
            .args(&self.extra)
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.log()).unwrap())
            .spawn()
            .expect("setpriv is part of util-linux");
        (self.child, self.ready) = (Some(child), Some(ready));
    }

    /// Whether it serves clients; waits for its word, or its end.
    fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + START;
        let (child, ready) = (self.child.as_mut().unwrap(), self.ready.as_ref().unwrap());
        let mut word = [0; 64];
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            match ready.recv(&mut word) {
                Ok(length) if word[..length].starts_with(b"READY=1") => return true,
                _ => {}
            }
        }
        false
    }

    /// What it writes, since its last start.
    fn log(&self) -> PathBuf {
        self.data.path().join("log")
    }

    /// Returns when it has written a line with `text`, and forgets all that it wrote until then.
    pub fn await_line(&self, text: &str) {
        let deadline = Instant::now() + START;
        while !std::fs::read_to_string(self.log()).unwrap().contains(text) {
            assert!(Instant::now() < deadline, "etcd does not say '{text}'");
            std::thread::park_timeout(LOOK);
        }
        File::options().write(true).open(self.log()).unwrap().set_len(0).unwrap();
    }

    /// Whether it leads the members of its cluster. None does while they vote.
    pub fn leads(&self) -> bool {
        let asked = ["endpoint", "status", "--write-out", "json"];
        let Ok(status) = try_etcdctl(&self.endpoint, &asked) else { return false };
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let status = &status[0]["Status"];
        status["leader"] == status["header"]["member_id"]
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on its data and ports.
    pub fn start_again(&mut self) {
        self.spawn();
        assert!(self.is_ready(), "etcd did not start again");
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Runs `etcdctl` and gives what it prints.
pub fn etcdctl(endpoint: &str, arguments: &[&str]) -> String {
    try_etcdctl(endpoint, arguments).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `etcdctl` and gives what it prints, or what it complains of.
pub fn try_etcdctl(endpoint: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoint])
        .args(arguments)
        .output()
        .expect("Debian's etcd-client is installed");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A prefix of its own of one etcd that all tests of this process share. Terms do not end while the machine is busy.
pub fn shared_settings(name: &str) -> EtcdSettings {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    static PREFIXES: AtomicU32 = AtomicU32::new(0);
    let endpoint = ENDPOINT.get_or_init(|| {
        let (started, endpoint) = sync_channel(1);
        // The thread stays until the process ends, and etcd with it.
        std::thread::spawn(move || {
            let server = EtcdServer::start();
            started.send(server.endpoint.clone()).unwrap();
            loop {
                std::thread::park();
            }
        });
        endpoint.recv().unwrap()
    });
    let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
    EtcdSettings { lease: LONG_LEASE, ..settings(name, endpoint, &format!("/test-{number}")) }
}
