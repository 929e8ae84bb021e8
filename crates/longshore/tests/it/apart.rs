//! Server and agent as two processes, as on two machines.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Process, Up, eventually};

/// A server, and one container instance called `instance-1` that joined it.
pub struct Apart {
    /// The clients' side.
    pub up: Up,
    server: Process,
    server_args: Vec<String>,
    agent: Process,
    agent_args: Vec<String>,
}

fn process(args: &[String], ready: &str) -> Process {
    Process::start(&args.iter().map(String::as_str).collect::<Vec<_>>(), ready)
}

const SERVER_READY: &str = "Longshore serves at";
const AGENT_READY: &str = "Longshore agent";

impl Apart {
    /// Starts both, loads the named example images and waits until the instance takes tasks.
    pub fn start(images: &[&str]) -> Self {
        Self::start_with(&[], images)
    }

    /// The same with further flags of the server.
    pub fn start_with(flags: &[&str], images: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().display().to_string();
        let mut server_args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder]
            .map(str::to_owned)
            .to_vec();
        server_args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let server = process(&server_args, SERVER_READY);
        let mut up = Up::adopt(data);
        let endpoint = up.endpoint();
        // A server that is started again is found where it was.
        server_args[2] = endpoint.trim_start_matches("http://").to_owned();
        let made: Value =
            serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
        let token = made["token"].as_str().unwrap();
        let joins = ["agent", "--server", &endpoint, "--token", token, "--data-dir", &folder];
        let named = ["--name", "instance-1", "--zone", "us-east-1b"];
        let agent_args: Vec<String> = joins.into_iter().chain(named).map(str::to_owned).collect();
        let agent = process(&agent_args, AGENT_READY);
        images.iter().for_each(|image| up.load(image));
        let apart = Self { up, server, server_args, agent, agent_args };
        apart.await_connected();
        apart
    }

    /// Waits until the instance would take a task.
    pub fn await_connected(&self) {
        let connected = || {
            let status: Value =
                serde_json::from_str(&self.up.cli(&["status", "--output", "json"])).unwrap();
            status["containerInstances"][0]["agentConnected"] == json!(true)
        };
        assert!(eventually(connected), "the agent does not connect");
    }

    /// Kills the server with SIGKILL and starts it again.
    pub fn kill_server(&mut self) {
        self.server.end(Signal::SIGKILL);
        self.server = process(&self.server_args, SERVER_READY);
    }

    /// Kills both with SIGKILL, and starts them again after `meanwhile`.
    pub fn kill_both(&mut self, meanwhile: impl FnOnce()) {
        self.server.end(Signal::SIGKILL);
        self.agent.end(Signal::SIGKILL);
        meanwhile();
        self.server = process(&self.server_args, SERVER_READY);
        self.agent = process(&self.agent_args, AGENT_READY);
    }

    /// Ends the agent for good.
    pub fn end_agent(&mut self) {
        self.agent.end(Signal::SIGKILL);
    }

    /// Kills the agent with SIGKILL and starts it again.
    pub fn kill_agent(&mut self) {
        self.agent.end(Signal::SIGKILL);
        self.agent = process(&self.agent_args, AGENT_READY);
    }
}

impl Drop for Apart {
    /// The agent first, then the server; what they left, `up` clears away after them.
    fn drop(&mut self) {
        self.agent.end(Signal::SIGTERM);
        self.server.end(Signal::SIGTERM);
    }
}
