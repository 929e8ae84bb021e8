//! `longshore balancer`: load balancers on a host of their own, and what becomes of them when something
//! ends.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use wire::client::Client;

use crate::balanced::web;
use crate::harness::{LONGSHORE, Process, Up, eventually, fetch};
use crate::linear::client;
use crate::load_balancers::Front;
use crate::watched::{Watched, says};

/// A balancer of its own folder, which signs with the key of a user that may do nothing else.
struct Host {
    process: Process,
    folder: TempDir,
    args: Vec<String>,
    config: String,
}

/// What the user of a balancer may do.
const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "longshore:Balancer", "Resource": "*"}]}"#;

/// Makes the user of balancers, and a profile with its key in this folder.
fn profile(up: &Up, folder: &Path) -> String {
    let user = ["--user-name", "balancer"];
    up.try_aws(&[&["iam", "create-user"][..], &user].concat());
    let policy = ["--policy-name", "own", "--policy-document", POLICY];
    up.aws(&[&["iam", "put-user-policy"][..], &user, &policy].concat());
    let made = up.aws(&[&["iam", "create-access-key"][..], &user].concat());
    let key = |member: &str| made["AccessKey"][member].as_str().unwrap().to_owned();
    let file = folder.join("credentials");
    let text = format!(
        "[balancer]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        key("AccessKeyId"),
        key("SecretAccessKey")
    );
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

impl Host {
    fn start(up: &Up, name: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = profile(up, folder.path());
        let (endpoint, data) = (up.endpoint(), folder.path().display().to_string());
        let args = ["balancer", "--endpoint", &endpoint, "--profile", "balancer", "--name", name];
        let rest = ["--data-dir", &data, "--metrics-listen", "127.0.0.1:0", "--output", "json"];
        let args = args.iter().chain(&rest).chain(more).map(|arg| (*arg).to_owned());
        let args: Vec<String> = args.collect();
        let process = Self::run(&args, &config);
        Self { process, folder, args, config }
    }

    fn run(args: &[String], config: &str) -> Process {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let env = [("AWS_SHARED_CREDENTIALS_FILE", config), ("AWS_CONFIG_FILE", "/dev/null")];
        // Its announcement is JSON, of which this line comes second.
        Process::start_with(&args, &env, "\"metrics\": \"http")
    }

    /// Starts it again.
    fn restart(&mut self) {
        self.process = Self::run(&self.args, &self.config);
    }

    fn kill(&mut self) {
        self.process.end(Signal::SIGKILL);
    }
}

/// What the server counts.
fn metrics(up: &Up) -> String {
    fetch(up.running()["metrics"].as_str().unwrap()).unwrap()
}

/// How many balancers the server knows of.
fn joined(up: &Up) -> u64 {
    let text = metrics(up);
    let line = text.lines().find_map(|line| line.strip_prefix("longshore_elb_balancers "));
    line.and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Waits until so many balancers serve, and the server nothing more by itself.
fn await_serving(up: &Up, count: u64) {
    let is_own = |line: &str| {
        line.starts_with("longshore_elb_connections{") && line.contains("balancer=\"server\"")
    };
    let is_alone = || !metrics(up).lines().any(is_own);
    assert!(eventually(|| joined(up) == count && is_alone()), "{}", metrics(up));
}

/// A web server of this process that answers with its name.
struct Backend {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Backend {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        // It ends with the tests' process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let counted = counted.clone();
                std::thread::spawn(move || {
                    let (mut read, mut part) = (Vec::new(), [0; 4096]);
                    while !read.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut part) {
                            Ok(count @ 1..) => read.extend_from_slice(&part[..count]),
                            _ => return,
                        }
                    }
                    if !String::from_utf8_lossy(&read).contains("ELB-HealthChecker") {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length";
                    drop(write!(stream, "{head}: {}\r\n\r\n{name}", name.len()));
                });
            }
        });
        Self { port, asked }
    }

    fn register(&self, up: &Up, group: &str) {
        let target = format!("Id=127.0.0.1,Port={}", self.port);
        let register = ["elbv2", "register-targets", "--target-group-arn", group, "--targets"];
        up.aws(&[&register[..], &[&target]].concat());
    }
}

fn await_healthy(up: &Up, group: &str) {
    let all_are = || {
        let told = up.aws(&["elbv2", "describe-target-health", "--target-group-arn", group]);
        let all = told["TargetHealthDescriptions"].as_array().unwrap();
        all.iter().all(|one| one["TargetHealth"]["State"] == "healthy")
    };
    assert!(eventually(all_are), "the targets are never healthy");
}

/// Clients that ask until they are told to stop. A request that gets no whole answer is no failure of
/// theirs: they count the good ones, and those that got another answer than 200.
struct Load {
    good: Arc<AtomicUsize>,
    bad: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(address: &str) -> Self {
        let (good, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (address, is_over) = (address.to_owned(), is_over.clone());
            let (good, bad) = (good.clone(), bad.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    match status(&address) {
                        Some(200) => drop(good.fetch_add(1, Ordering::SeqCst)),
                        Some(_) => drop(bad.fetch_add(1, Ordering::SeqCst)),
                        // Nobody listens just now.
                        None => std::thread::yield_now(),
                    }
                }
            })
        };
        let clients = (0..4).map(client).collect();
        Self { good, bad, is_over, clients }
    }

    /// Waits until so many more have been answered well.
    fn await_more(&self, more: usize) {
        let wanted = self.good.load(Ordering::SeqCst) + more;
        assert!(eventually(|| self.good.load(Ordering::SeqCst) >= wanted), "nobody answers");
    }

    /// Ends the load; gives how many got another answer than 200.
    fn end(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        self.bad.load(Ordering::SeqCst)
    }
}

/// The status of a whole answer, if there is one.
fn status(address: &str) -> Option<u16> {
    let mut stream = TcpStream::connect((address, 80)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[test]
fn a_balancer_serves_on_while_no_server_is_there_and_a_second_one_beside_it() {
    let mut up = Up::server(&["--metrics-listen", "127.0.0.1:0"]);
    let front = Front::make(&up, "ip");
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    one.register(&up, &front.group);
    await_healthy(&up, &front.group);
    let mut first = Host::start(&up, "first", &[]);
    await_serving(&up, 1);
    assert_eq!(fetch(&front.url()).as_deref(), Some("one"));
    // What is registered now is checked by the balancer, and its verdict is what the API tells.
    two.register(&up, &front.group);
    await_healthy(&up, &front.group);
    let both = BTreeSet::from(["one".to_owned(), "two".to_owned()]);
    let seen = || (0..8).filter_map(|_| fetch(&front.url())).collect::<BTreeSet<_>>();
    assert!(eventually(|| seen() == both));
    let file = first.folder.path().join("balancer/first/told.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut second = Host::start(&up, "second", &[]);
    await_serving(&up, 2);
    let load = Load::on(&front.address);
    load.await_more(200);
    first.kill();
    load.await_more(200);
    first.restart();
    load.await_more(200);
    second.kill();
    load.await_more(200);

    // Without a server it goes on, also after a restart of its own.
    up.process().end(Signal::SIGKILL);
    load.await_more(200);
    first.kill();
    first.restart();
    load.await_more(200);
    assert_eq!(load.end(), 0, "an answer was another than 200");
    assert!(one.asked.load(Ordering::SeqCst) > 0 && two.asked.load(Ordering::SeqCst) > 0);
    assert_eq!(first.process.end(Signal::SIGTERM), Some(0));
}

#[test]
fn a_killed_balancer_leaves_the_tasks_behind_it_as_they_are() {
    let up = Up::start_with(&["--instances", "2", "--metrics-listen", "127.0.0.1:0"], &["busybox"]);
    let (ecs, front) = (Watched::of(&up), Front::make(&up, "instance"));
    let mut host = Host::start(&up, "first", &[]);
    let definition = ecs.register(&web("web", "bridge"));
    let input = json!({
        "serviceName": "web", "taskDefinition": definition, "desiredCount": 2,
        "loadBalancers": [
            {"targetGroupArn": front.group, "containerName": "web", "containerPort": 7070}],
    });
    ecs.call("CreateService", input);
    ecs.await_steady("web", &definition, 2);
    await_serving(&up, 1);
    let (tasks, pids) = (ecs.running("web"), began(&ecs));
    let load = Load::on(&front.address);
    for _ in 0..3 {
        load.await_more(300);
        host.kill();
        host.restart();
    }
    load.await_more(300);
    await_serving(&up, 1);
    assert_eq!(load.end(), 0, "an answer was another than 200");
    assert_eq!((ecs.running("web"), began(&ecs)), (tasks, pids), "the tasks are the same");
    let told = up.aws(&["elbv2", "describe-target-health", "--target-group-arn", &front.group]);
    let states = told["TargetHealthDescriptions"].as_array().unwrap().iter();
    let states: Vec<_> = states.map(|one| one["TargetHealth"]["State"].clone()).collect();
    assert_eq!(states, [json!("healthy"), json!("healthy")]);
    let lines = says(&ecs.service("web"));
    assert!(!lines.iter().any(|line| line.contains("unhealthy")), "{lines:#?}");

    // A release rolls out behind it, and what it ends is told to be idle by it alone.
    let load = Load::on(&front.address);
    let next = ecs.register(&web("next", "bridge"));
    ecs.update("web", &next);
    ecs.await_steady("web", &next, 2);
    assert_eq!(load.end(), 0, "an answer was another than 200");
    // At its end the server takes over at once.
    assert_eq!(host.process.end(Signal::SIGTERM), Some(0));
    assert!(eventually(|| fetch(&front.url()).as_deref() == Some("next\n")));
    assert_eq!(joined(&up), 0);
}

/// When the service's tasks began.
fn began(ecs: &Watched) -> Vec<Value> {
    ecs.tasks("web", "RUNNING").iter().map(|task| task["startedAt"].clone()).collect()
}

/// What a balancer that cannot serve says.
fn refusal(args: &[&str], credentials: &str) -> String {
    let mut command = Command::new(LONGSHORE);
    command.args(["balancer", "--profile", "balancer"]).args(args);
    command.env("AWS_SHARED_CREDENTIALS_FILE", credentials).env("AWS_CONFIG_FILE", "/dev/null");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn only_who_may_serves_and_keys_go_over_tls_alone() {
    let up = Up::server(&["--metrics-listen", "127.0.0.1:0", "--dns", "127.0.0.1:0"]);
    let folder = tempfile::tempdir().unwrap();
    let (data, credentials) = (folder.path().display().to_string(), profile(&up, folder.path()));
    let far = ["--endpoint", "http://192.0.2.1:4566", "--data-dir", &data];
    let told = refusal(&far, &credentials);
    assert!(told.contains("keys of certificates") && told.contains("https://"), "{told}");
    let endpoint = up.endpoint();
    let odd = ["--endpoint", &endpoint, "--data-dir", &data, "--name", "../x"];
    assert!(refusal(&odd, &credentials).contains("--name '../x'"));

    // Without its policy the user is refused, and a container instance's key always is.
    let text = std::fs::read_to_string(&credentials).unwrap();
    let mut keys = text.lines().filter_map(|line| line.split_once(" = "));
    let mut key = || keys.next().unwrap().1.to_owned();
    let user = client(&endpoint, &(key(), key()));
    let path = "/_longshore/balancer?format=1&name=hand&start=1";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |client: &Client| runtime.block_on(client.lines(path));
    let mut lines = ask(&user).unwrap();
    let told = runtime.block_on(lines.next()).unwrap().unwrap();
    assert!(told.contains("\"isWhole\":true"), "{told}");
    assert!(eventually(|| joined(&up) == 1));
    drop(lines);
    let odd = runtime.block_on(user.get("/_longshore/balancer?format=1&name=a%2Fb&start=1"));
    assert!(odd.unwrap_err().to_string().contains("name 'a/b'"));
    let delete = ["iam", "delete-user-policy", "--user-name", "balancer", "--policy-name", "own"];
    up.aws(&delete);
    let refused = ask(&user).unwrap_err().to_string();
    assert!(refused.contains("AccessDenied"), "{refused}");
    let made = up.cli(&["token", "create", "--as-keys", "instance-1", "--output", "json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let key = |member: &str| made[member].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let node = client(&endpoint, &(key("accessKeyId"), key("secretAccessKey")));
    let refused = ask(&node).unwrap_err().to_string();
    assert!(refused.contains("AccessDenied"), "{refused}");
}

/// What `dig` says.
fn dig(server: &str, args: &[&str]) -> String {
    let (host, port) = server.rsplit_once(':').unwrap();
    let at = format!("@{host}");
    let mut command = Command::new("dig");
    command.args([&at, "-p", port, "+time=5", "+tries=3"]).args(args);
    let output = command.output().expect("dig is installed: ./x test does it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn names_of_load_balancers_are_answered_by_dns() {
    let up = Up::server(&["--metrics-listen", "127.0.0.1:0", "--dns", "127.0.0.1:0"]);
    let server = up.running()["dns"].as_str().unwrap().to_owned();
    let front = Front::make(&up, "ip");
    let told = up.aws(&["elbv2", "describe-load-balancers"]);
    let name = told["LoadBalancers"][0]["DNSName"].as_str().unwrap();
    let short = |server: &str, more: &[&str]| {
        dig(server, &[&["+short", name], more].concat()).trim().to_owned()
    };
    assert!(eventually(|| short(&server, &[]) == front.address));
    assert_eq!(short(&server, &["+tcp"]), front.address);
    assert_eq!(short(&server, &["+noedns"]), front.address);
    let whole = dig(&server, &[&name.to_uppercase()]);
    assert!(whole.contains("status: NOERROR") && whole.contains("flags: qr aa"), "{whole}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut records = whole.lines().map(words);
    let record = records.find(|words| words.len() == 5 && words[3] == "A");
    assert_eq!(record.unwrap_or_else(|| panic!("{whole}"))[1], "60");
    let none = dig(&server, &[name, "AAAA"]);
    assert!(none.contains("status: NOERROR") && none.contains("SOA"), "{none}");
    let missing = dig(&server, &["nobody.us-east-1.elb.internal"]);
    assert!(missing.contains("status: NXDOMAIN") && missing.contains("SOA"), "{missing}");
    assert!(dig(&server, &["example.com"]).contains("status: REFUSED"));

    // A balancer answers for what it serves, and the server tells where that is.
    let own = ["--dns", "127.0.0.1:0", "--address", "127.1.2.3"];
    let mut host = Host::start(&up, "first", &own);
    assert!(eventually(|| short(&server, &[]) == "127.1.2.3"));
    assert!(
        eventually(|| fetch("http://127.1.2.3/").is_some() || status("127.1.2.3") == Some(503))
    );
    host.kill();
    assert!(eventually(|| short(&server, &[]) == front.address));
    let delete = ["elbv2", "delete-load-balancer", "--load-balancer-arn"];
    let arn = told["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap();
    up.aws(&[&delete[..], &[arn]].concat());
    assert!(eventually(|| dig(&server, &[name]).contains("status: NXDOMAIN")));
}
