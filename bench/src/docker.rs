//! The peer of `run-task` and `services`: Debian's dockerd, started by hand on a bridge of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, output};

const BRIDGE: &str = "lsbench0";
const ADDRESS: &str = "172.31.253.1/24";
const START_LIMIT: Duration = Duration::from_secs(60);
/// Debian's own client and server, whatever else stands on PATH.
const CLIENT: &str = "/usr/bin/docker";
const SERVER: &str = "/usr/sbin/dockerd";

/// A running dockerd with one image.
#[derive(Debug)]
pub struct Docker {
    process: Option<Process>,
    folder: TempDir,
}

impl Docker {
    /// The image that it is given.
    pub const IMAGE: &str = "longshore-bench";

    /// Makes the bridge, starts dockerd below `work` and gives it the image.
    pub fn start(work: &Path, image: &Path) -> Result<Self> {
        // Short, because the path of its socket may have 107 bytes only.
        let folder = tempfile::Builder::new().prefix("lsb-docker-").tempdir()?;
        let log = work.join("dockerd.log");
        let _ = Command::new("ip").args(["link", "delete", BRIDGE]).output();
        output(Command::new("ip").args(["link", "add", BRIDGE, "type", "bridge"]))?;
        output(Command::new("ip").args(["address", "add", ADDRESS, "dev", BRIDGE]))?;
        output(Command::new("ip").args(["link", "set", BRIDGE, "up"]))?;
        let path = |name: &str| folder.path().join(name);
        let mut command = Command::new(SERVER);
        command.args(["--storage-driver", "overlay2", "--bridge", BRIDGE]);
        command.args(["--exec-opt", "native.cgroupdriver=cgroupfs"]);
        command.args(["--iptables=false", "--ip6tables=false", "--ip-forward=false"]);
        command.arg("--data-root").arg(path("data")).arg("--exec-root").arg(path("exec"));
        command.arg("--pidfile").arg(path("pid"));
        command.arg("--host").arg(format!("unix://{}", path("socket").display()));
        let process = Process::start(command, &log, None)?;
        let mut docker = Self { process: Some(process), folder };
        docker.wait(&log)?;
        docker.import(image)?;
        Ok(docker)
    }

    /// Debian's docker loads no OCI archives, so it gets the image's one layer.
    fn import(&self, image: &Path) -> Result<()> {
        let read = |name: &str| -> Result<Value> {
            let text = output(Command::new("tar").arg("-xOf").arg(image).arg(name))?;
            serde_json::from_str(&text).with_context(|| format!("{name} in {}", image.display()))
        };
        let blob =
            |digest: &Value| format!("blobs/{}", digest.as_str().unwrap_or("").replace(':', "/"));
        let manifest = read(&blob(&read("index.json")?["manifests"][0]["digest"]))?;
        let layers = manifest["layers"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(layers == 1, "{} has {layers} layers; one is expected", image.display());
        let layer = tempfile::NamedTempFile::new_in(self.folder.path())?;
        let name = blob(&manifest["layers"][0]["digest"]);
        let status = Command::new("tar")
            .arg("-xOf")
            .arg(image)
            .arg(name)
            .stdout(layer.reopen()?)
            .status()?;
        anyhow::ensure!(status.success(), "tar cannot read {}", image.display());
        output(self.client(&["import"]).arg(layer.path()).arg(Self::IMAGE)).map(drop)
    }

    fn wait(&mut self, log: &Path) -> Result<()> {
        let mut probe = self.client(&["version"]);
        let Some(process) = &mut self.process else { return Ok(()) };
        process
            .wait_until(START_LIMIT, || probe.output().is_ok_and(|output| output.status.success()))
            .with_context(|| format!("see {}", log.display()))
    }

    /// How long `docker run -d` takes; the container is removed again, unmeasured.
    pub fn run(&self, command: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        let id = output(self.client(&["run", "--detach", Self::IMAGE]).args(command))?;
        let took = start.elapsed();
        output(&mut self.client(&["rm", "--force", &id]))?;
        Ok(took)
    }

    /// How long creating and starting takes over the daemon's own socket, without its client.
    pub fn run_over_socket(&self, command: &[&str]) -> Result<Duration> {
        let body = serde_json::json!({"Image": Self::IMAGE, "Cmd": command}).to_string();
        let start = Instant::now();
        let created = self.post("/containers/create", &body)?;
        let json = created.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let json: Value = serde_json::from_str(json.trim()).context("docker create")?;
        let id = json["Id"].as_str().with_context(|| format!("docker create: {json}"))?;
        self.post(&format!("/containers/{id}/start"), "")?;
        let took = start.elapsed();
        output(&mut self.client(&["rm", "--force", id]))?;
        Ok(took)
    }

    fn post(&self, path: &str, body: &str) -> Result<String> {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.0\r\nhost: docker\r\ncontent-type: application/json\r\n");
        self.exchange(&format!("{head}content-length: {length}\r\n\r\n{body}"))
    }

    /// What the daemon says of a path over its socket.
    ///
    /// # Errors
    /// If it does not answer with JSON.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = self.exchange(&format!("GET {path} HTTP/1.0\r\nhost: docker\r\n\r\n"))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).with_context(|| format!("docker {path}: {answer}"))
    }

    fn exchange(&self, request: &str) -> Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(self.socket())?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A command of Docker's own client to this daemon.
    pub fn client(&self, args: &[&str]) -> Command {
        let mut command = Command::new(CLIENT);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display())).args(args);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        drop(self.process.take());
        let _ = Command::new("ip").args(["link", "delete", BRIDGE]).output();
    }
}
