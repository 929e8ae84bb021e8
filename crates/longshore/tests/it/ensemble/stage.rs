//! Servers and agents as on several machines.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::etcd::{Etcd, free_address};
use crate::harness::{Process, Up, eventually};

/// The key of what is stored sealed: all servers of a store have the same.
const SECRETS_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// One server.
pub struct Server {
    /// The clients' side.
    pub up: Up,
    /// Where it listens, `HOST:PORT`.
    pub address: String,
    process: Option<Process>,
    args: Vec<String>,
}

impl Server {
    /// One with these flags, and an address and folder of its own.
    pub fn start_with(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (folder, address) = (data.path().display().to_string(), free_address());
        let args = ["server", "--listen", &address, "--data-dir", &folder];
        let args = [&args, flags].concat().into_iter().map(str::to_owned).collect();
        let mut server = Self { up: Up::adopt(data), address, process: None, args };
        server.resume();
        server
    }

    /// Starts it where it was.
    pub fn resume(&mut self) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let env = [("LONGSHORE_SECRETS_KEY", SECRETS_KEY)];
        self.process = Some(Process::start_with(&args, &env, "Longshore serves at"));
    }

    /// Ends it with a signal.
    pub fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            process.end(signal);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// What a server says that it is: `leader`, `follower`, or nothing.
pub fn role_at(address: &str) -> Option<String> {
    let told = crate::harness::fetch(&format!("http://{address}/_longshore/readyz"))?;
    let told: Value = serde_json::from_str(&told).ok()?;
    told["role"].as_str().map(str::to_owned)
}

/// Three servers, and the etcd that they share.
pub struct Ensemble {
    /// The servers; each can be ended and started again.
    pub servers: Vec<Server>,
    agents: Vec<Process>,
    /// What they share.
    pub etcd: Etcd,
}

impl Ensemble {
    /// Starts them, all at once, and waits until one leads and the others know.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with these flags for each server.
    pub fn start_with(flags: &[&str]) -> Self {
        let etcd = Etcd::start();
        let store = etcd.store();
        let flags = [&["--store", &store], flags].concat();
        let servers = std::thread::scope(|scope| {
            let starting: Vec<_> =
                (0..3).map(|_| scope.spawn(|| Server::start_with(&flags))).collect();
            starting.into_iter().map(|one| one.join().expect("it starts")).collect()
        });
        let ensemble = Self { servers, agents: Vec::new(), etcd };
        ensemble.leader();
        ensemble
    }

    /// The number of the server that leads; waits until all that run agree on one.
    pub fn leader(&self) -> usize {
        let mut found = None;
        let is_led = eventually(|| {
            let running = || self.servers.iter().filter(|server| server.process.is_some());
            let roles: Vec<_> = running().map(|server| role_at(&server.address)).collect();
            let leading = |role: &Option<String>| role.as_deref() == Some("leader");
            found = self
                .servers
                .iter()
                .filter(|server| server.process.is_some())
                .position(|server| role_at(&server.address).as_deref() == Some("leader"))
                .and_then(|nth| {
                    let running = self.servers.iter().enumerate();
                    running.filter(|(_, server)| server.process.is_some()).nth(nth)
                })
                .map(|(index, _)| index);
            roles.iter().all(Option::is_some)
                && roles.iter().filter(|role| leading(role)).count() == 1
        });
        assert!(is_led, "no server comes to lead");
        found.expect("one leads")
    }

    /// Whether one of the others leads.
    pub fn is_led_without(&self, server: usize) -> bool {
        let others = self.servers.iter().enumerate().filter(|(index, _)| *index != server);
        let mut running = others.filter(|(_, server)| server.process.is_some());
        running.any(|(_, server)| role_at(&server.address).as_deref() == Some("leader"))
    }

    /// One that follows.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        (0..self.servers.len())
            .find(|&index| index != leader && self.servers[index].process.is_some())
            .expect("one follows")
    }

    /// The URLs of all servers, as `--server` takes them.
    pub fn urls(&self) -> String {
        self.servers.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }

    /// Adds a container instance that knows all servers, and waits until it takes tasks. Its
    /// folder is that of the first server.
    pub fn add_agent(&mut self, name: &str, images: &[&str]) {
        let urls = self.urls();
        let up = &mut self.servers[0].up;
        let made: Value =
            serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
        let (token, folder) = (made["token"].as_str().unwrap(), up.data().display().to_string());
        let args = ["agent", "--server", &urls, "--token", token, "--data-dir", &folder];
        let args: Vec<&str> = args.into_iter().chain(["--name", name]).collect();
        self.agents.push(Process::start(&args, "Longshore agent"));
        images.iter().for_each(|image| up.load(image));
        self.await_agents(0);
    }

    /// Waits until all instances are connected, as server `at` tells it.
    pub fn await_agents(&self, at: usize) {
        let connected = || {
            let output = self.servers[at].up.try_cli(&["status", "--output", "json"]);
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let instances = status["containerInstances"].as_array().cloned().unwrap_or_default();
            instances.len() == self.agents.len()
                && instances.iter().all(|instance| instance["agentConnected"] == json!(true))
        };
        assert!(eventually(connected), "the agents do not connect");
    }

    /// Ends all cleanly and clears away what they left.
    pub fn end(self) {}
}

impl Drop for Ensemble {
    /// The agents first, then the servers: what is left then is cleared with each one's folder.
    fn drop(&mut self) {
        self.agents.iter_mut().for_each(|agent| _ = agent.end(Signal::SIGTERM));
        for server in &mut self.servers {
            // One that a test has stopped would never end.
            if let Some(process) = &server.process {
                process.signal(Signal::SIGCONT);
            }
            server.end(Signal::SIGTERM);
        }
    }
}
