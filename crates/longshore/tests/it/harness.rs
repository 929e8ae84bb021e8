//! A real Longshore for a test: its own port, data folder and containers, gone when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long a condition may take to hold before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// The binary under test.
pub const LONGSHORE: &str = env!("CARGO_BIN_EXE_longshore");

/// A process of Longshore that has said that it is ready.
pub struct Process {
    child: Child,
    /// Its lines on standard output after the one that it was ready by.
    said: Receiver<String>,
}

impl Process {
    /// Starts the binary and waits for the line on standard output that contains `ready`.
    pub fn start(args: &[&str], ready: &str) -> Self {
        Self::start_with(args, &[], ready)
    }

    /// The same with some variables of the environment.
    pub fn start_with(args: &[&str], env: &[(&str, &str)], ready: &str) -> Self {
        let mut command = Command::new(LONGSHORE);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        // How full the machine's disk is decides nothing here, unless a test says so.
        command.envs([("LONGSHORE_DISK_LOW", "0"), ("LONGSHORE_DISK_FULL", "0")]);
        command.envs(env.iter().copied());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let found = lines.by_ref().map_while(Result::ok).find(|line| line.contains(ready));
        assert!(found.is_some(), "longshore {args:?} ended without saying '{ready}'");
        // Keep reading, so that it never blocks on a full pipe.
        let (sender, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        Self { child, said }
    }

    /// Waits for a later line on standard output that contains `part`.
    pub fn await_line(&self, part: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("nothing is said with '{part}'"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("pids are small"));
        let _ = kill(pid, signal);
    }

    /// Sends a signal and waits for the end; only waits if it has ended already.
    pub fn end(&mut self, signal: Signal) -> Option<i32> {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(signal);
        }
        self.child.wait().expect("a child can be waited for").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that a test has stopped would never end.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGCONT);
        }
        self.end(Signal::SIGTERM);
    }
}

/// One `longshore up` with the example images loaded.
pub struct Up {
    process: Option<Process>,
    data: TempDir,
    flags: Vec<String>,
}

impl Up {
    /// Brings Longshore up and loads the named example images.
    pub fn start(images: &[&str]) -> Self {
        Self::start_with(&[], images)
    }

    /// The same, with further flags of `longshore up`.
    pub fn start_with(flags: &[&str], images: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut up = Self { process: None, data, flags };
        up.restart();
        for image in images {
            up.cli(&["image", "load", &example_image(image)]);
        }
        up
    }

    /// A `longshore server` alone, with these flags: no container instance.
    pub fn server(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = data.path().display().to_string();
        let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
        let process = Process::start(&[&args[..], flags].concat(), "serves at");
        Self { process: Some(process), data, flags: Vec::new() }
    }

    /// The clients' side of a server that was started on this folder by other means; it has to end
    /// before this is dropped.
    pub fn adopt(data: TempDir) -> Self {
        Self { process: None, data, flags: Vec::new() }
    }

    /// Loads an example image into the store of this machine's instances.
    pub fn load(&mut self, image: &str) {
        self.cli(&["image", "load", &example_image(image)]);
    }

    /// The administrator's access key id and secret.
    pub fn keys(&self) -> (String, String) {
        let text = fs::read_to_string(self.data.path().join("credentials")).expect("keys are kept");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the file has it").trim_start_matches(" = ").to_owned()
        };
        (value("aws_access_key_id"), value("aws_secret_access_key"))
    }

    /// Starts the server process on the same data folder (after a kill).
    pub fn restart(&mut self) {
        let data = self.data.path().display().to_string();
        let mut args = vec!["up", "--listen", "127.0.0.1:0", "--data-dir", &data];
        args.extend(self.flags.iter().map(String::as_str));
        self.process = Some(Process::start(&args, "Longshore is up"));
    }

    /// Other flags of `longshore up` for the next start.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// The process of `longshore up`.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was started")
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// What the server tells of itself in its folder.
    pub fn running(&self) -> Value {
        let text = fs::read(self.data.path().join("server.json")).expect("the server is announced");
        serde_json::from_slice(&text).expect("server.json is JSON")
    }

    /// The API's URL.
    pub fn endpoint(&self) -> String {
        self.running()["endpoint"].as_str().expect("it names the endpoint").to_owned()
    }

    /// Runs a command of our own and gives its standard output.
    pub fn cli(&self, args: &[&str]) -> String {
        let output = self.try_cli(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "longshore {args:?} failed: {stderr}");
        String::from_utf8(output.stdout).expect("output is UTF-8")
    }

    /// Runs a command of our own, whatever comes of it.
    pub fn try_cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(LONGSHORE);
        command.args(args).env("LONGSHORE_DATA_DIR", self.data.path());
        command.output().expect("the binary starts")
    }

    /// Runs `aws` with the administrator's key and gives its JSON.
    pub fn aws(&self, args: &[&str]) -> Value {
        let output = self.try_aws(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws {args:?} failed: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Runs `aws`, whatever comes of it.
    pub fn try_aws(&self, args: &[&str]) -> Output {
        let mut command = self.with_profile("aws");
        command.args(args).output().expect("the aws CLI is installed: ./x test does it")
    }

    /// Runs `aws` with the tries that it makes by itself.
    pub fn aws_patiently(&self, args: &[&str]) -> Value {
        let mut command = self.with_profile("aws");
        let output = command.args(args).env_remove("AWS_MAX_ATTEMPTS").output();
        let output = output.expect("the aws CLI is installed: ./x test does it");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws {args:?} failed: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// A command whose environment points AWS's tools at this Longshore.
    pub fn with_profile(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_SHARED_CREDENTIALS_FILE", self.data.path().join("credentials"))
            .env("AWS_PROFILE", "longshore")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_MAX_ATTEMPTS", "1");
        if let Some(ca) = self.running()["ca"].as_str() {
            command.env("AWS_CA_BUNDLE", ca);
        }
        // A profile without a config entry is found in the credentials file alone.
        command
    }

    /// Makes a role that tasks may have, which may do these actions to everything; tells its ARN.
    pub fn role(&self, name: &str, actions: &[&str]) -> String {
        let trust = serde_json::json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
            "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole" } });
        let create = ["iam", "create-role", "--role-name", name, "--assume-role-policy-document"];
        let made = self.aws(&[&create[..], &[&trust.to_string()]].concat());
        if !actions.is_empty() {
            let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": {
                "Effect": "Allow", "Action": actions, "Resource": "*" } });
            let put = ["iam", "put-role-policy", "--role-name", name, "--policy-name", "own"];
            let document = policy.to_string();
            let put = self.try_aws(&[&put[..], &["--policy-document", &document]].concat());
            assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
        }
        made["Role"]["Arn"].as_str().expect("a role has an ARN").to_owned()
    }

    /// Registers a definition given as JSON, runs one task of it, and gives the task's id.
    pub fn run_task(&self, definition: &Value) -> String {
        let text = definition.to_string();
        self.aws(&["ecs", "register-task-definition", "--cli-input-json", &text]);
        let family = definition["family"].as_str().expect("a definition has a family");
        let answer = self.aws(&["ecs", "run-task", "--task-definition", family]);
        assert_eq!(answer["failures"], serde_json::json!([]), "{answer}");
        let arn = answer["tasks"][0]["taskArn"].as_str().expect("a task was placed");
        arn.rsplit('/').next().expect("an ARN has parts").to_owned()
    }

    /// The task as DescribeTasks tells it.
    pub fn task(&self, id: &str) -> Value {
        self.aws(&["ecs", "describe-tasks", "--tasks", id])["tasks"][0].take()
    }

    /// Waits until the task is in this state, and gives it.
    pub fn await_status(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        let is_there = eventually(|| {
            last = self.task(id);
            last["lastStatus"] == status
        });
        assert!(is_there, "the task does not become {status}: {last:#}");
        last
    }
}

impl Drop for Up {
    /// Ends everything and sees that nothing is left, whatever became of the test.
    fn drop(&mut self) {
        self.process = None;
        let down = self.try_cli(&["down"]);
        let clean = down.status.success() && eventually(|| left(self.data.path()).is_empty());
        if !clean && !std::thread::panicking() {
            let told = String::from_utf8_lossy(&down.stderr).into_owned();
            panic!("after the test there are {:#?} {told}", left(self.data.path()));
        }
    }
}

/// Mounts, processes and bridges of a data folder.
fn left(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the kernel tells its mounts");
    let mut found: Vec<String> =
        mounts.lines().filter(|line| line.contains(&folder)).map(str::to_owned).collect();
    for process in fs::read_dir("/proc").expect("it is mounted").flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&folder) {
            found.push(format!("process {}: {command}", process.file_name().display()));
        }
    }
    for interface in fs::read_dir("/sys/class/net").expect("it is mounted").flatten() {
        let alias = fs::read_to_string(interface.path().join("ifalias")).unwrap_or_default();
        if alias.contains(&folder) {
            found.push(format!("interface {}", interface.file_name().display()));
        }
    }
    found
}

/// Whether the condition came to hold; asks again whenever it does not, with a short rest.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    false
}

/// The first process of a container of an instance, as its shim put it down.
pub fn pid_of(up: &Up, instance: &str, runtime_id: &str) -> i32 {
    let folder = up.data().join("node").join(instance).join("containers").join(runtime_id);
    let text = fs::read(folder.join("running.json")).expect("the container runs");
    let running: Value = serde_json::from_slice(&text).expect("running.json is JSON");
    i32::try_from(running["pid"].as_i64().expect("it has a process")).expect("pids are small")
}

/// The file of an example image; `./x test` builds them.
pub fn example_image(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/images/out");
    let path = root.join(format!("{name}.tar"));
    assert!(path.exists(), "{} is missing: run examples/images/build.sh", path.display());
    path.display().to_string()
}

/// What a program says of this input; it has to succeed.
pub fn piped(program: &str, args: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {error}\n{input}");
    String::from_utf8(output.stdout).unwrap()
}

/// Fetches a page and gives its body, if the server answers with success.
pub fn fetch(url: &str) -> Option<String> {
    let output = Command::new("curl").args(["-sSf", "--max-time", "30", url]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
