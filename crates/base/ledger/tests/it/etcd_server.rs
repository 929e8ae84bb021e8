//! Debian's etcd, started by the tests on free loopback ports.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use ledger::EtcdSettings;
use tempfile::TempDir;

use crate::world::settings;

/// How long an etcd may take to listen.
const START: Duration = Duration::from_secs(60);

/// Ports that another process took meanwhile are tried again so often.
const TRIES: u32 = 5;

/// One etcd; it ends with the value, or with the thread that started it.
pub struct EtcdServer {
    pub endpoint: String,
    client_port: u16,
    peer_port: u16,
    extra: Vec<String>,
    data: TempDir,
    child: Option<Child>,
}

impl EtcdServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(extra: &[&str]) -> Self {
        for _ in 0..TRIES {
            let (client_port, peer_port) = free_ports();
            let scheme = if extra.contains(&"--cert-file") { "https" } else { "http" };
            let extra = extra.iter().map(|&text| text.to_owned()).collect();
            let mut server = Self {
                endpoint: format!("{scheme}://127.0.0.1:{client_port}"),
                client_port,
                peer_port,
                extra,
                data: tempfile::tempdir().unwrap(),
                child: None,
            };
            if server.try_run() {
                return server;
            }
        }
        panic!("etcd did not start; is Debian's etcd-server installed?");
    }

    fn try_run(&mut self) -> bool {
        let (client, peer) =
            (self.endpoint.clone(), format!("http://127.0.0.1:{}", self.peer_port));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--name", "test", "--log-level", "error"])
            .arg("--data-dir")
            .arg(self.data.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}"), "--logger", "zap"])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv is part of util-linux");
        self.child = Some(child);
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            let child = self.child.as_mut().unwrap();
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.client_port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
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
        assert!(self.try_run(), "etcd did not start again");
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_ports() -> (u16, u16) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, other] = listeners.map(|listener| listener.local_addr().unwrap().port());
    (one, other)
}

/// A prefix of its own of one etcd that all tests of this process share.
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
    settings(name, endpoint, &format!("/test-{number}"))
}
