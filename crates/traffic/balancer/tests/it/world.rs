//! A load balancer, and targets that answer as they are told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use balancer::{
    Action, Algorithm, Balancer, Check, Config, Group, Health, Kind, Listener, LoadBalancer, Rule,
    Settings, Speaks, State, Target,
};
use stage::HeldClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Address and port of a listener that nobody else has: each test has its own addresses.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// What a target does with a request.
pub type Manner = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

/// What a target answers; `head` is the request's, with its body if it has come along.
pub enum Reply {
    /// These bytes; the connection stays.
    Bytes(String),
    /// These bytes, and the end of the connection.
    Last(String),
    /// Nothing, for ever.
    Silence,
}

/// A target that counts its connections.
pub struct Backend {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An answer of 200 with this body.
pub fn ok(body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

impl Backend {
    /// One that answers every request with its name.
    pub async fn named(name: &'static str) -> Self {
        Self::begin(Arc::new(move |_| ok(name))).await
    }

    /// One that answers with what it was sent.
    pub async fn echo() -> Self {
        Self::begin(Arc::new(ok)).await
    }

    /// Waits until a request has come.
    pub async fn until_asked(&self) {
        while self.connections.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub async fn begin(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let serving = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(converse(stream, manner.clone(), counted.clone()));
            }
        });
        Self { address, connections, serving }
    }
}

/// Health checks are passed and not counted.
async fn converse(mut stream: TcpStream, manner: Manner, counted: Arc<AtomicUsize>) {
    let mut is_counted = false;
    loop {
        let Some(request) = read_request(&mut stream).await else { return };
        let reply = match request.contains("ELB-HealthChecker") && !request.contains("GET /sick") {
            true => ok("well"),
            false => {
                if !is_counted && !request.contains("ELB-HealthChecker") {
                    is_counted = true;
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                manner(&request)
            }
        };
        match reply {
            Reply::Bytes(text) => stream.write_all(text.as_bytes()).await.unwrap_or_default(),
            Reply::Last(text) => {
                stream.write_all(text.as_bytes()).await.unwrap_or_default();
                return;
            }
            Reply::Silence => return std::future::pending().await,
        }
    }
}

/// A message with the body that its Content-Length tells, or its chunks.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut part = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
            let is_whole = match head.contains("transfer-encoding: chunked") {
                true => body.ends_with("0\r\n\r\n"),
                false => body.len() >= length.unwrap_or(0),
            };
            if is_whole {
                return Some(text);
            }
        }
        let read = stream.read(&mut part).await.ok()?;
        if read == 0 {
            return None;
        }
        text.push_str(&String::from_utf8_lossy(&part[..read]));
    }
}

/// A load balancer with one listener on an address of its own.
pub struct World {
    pub balancer: Balancer,
    pub config: Config,
    pub address: SocketAddr,
}

impl World {
    /// Nothing behind it yet.
    pub fn new() -> Self {
        Self::of(Balancer::new(Arc::new(HeldClock::default())))
    }

    /// The same with a data plane of the test's.
    pub fn of(balancer: Balancer) -> Self {
        let number = u32::try_from(NEXT.fetch_add(1, Ordering::SeqCst)).unwrap();
        // Other processes of this test have others.
        let base = u32::from(Ipv4Addr::new(127, 32, 0, 0)) + (std::process::id() % 2_048) * 1_024;
        // Others may listen on any port of all addresses: a free one.
        let free = std::net::TcpListener::bind((Ipv4Addr::from(base + number), 0)).unwrap();
        let address = free.local_addr().unwrap();
        let listener = Listener {
            port: address.port(),
            kind: Kind::Requests,
            rules: Vec::new(),
            default: forward(&[("blue", 1)]),
            shows_server: true,
            tls: None,
        };
        let load_balancer = LoadBalancer {
            name: "web".to_owned(),
            address: address.ip(),
            dns_name: "web.example.com".to_owned(),
            settings: Settings::default(),
            log: None,
            listeners: vec![listener],
        };
        let config = Config { load_balancers: vec![load_balancer], groups: Vec::new() };
        Self { balancer, config, address }
    }

    /// One with a group `blue` of these targets, all of them healthy.
    pub async fn with(backends: &[&Backend]) -> Self {
        let mut world = Self::new();
        world.config.groups.push(group("blue", backends));
        world.apply();
        world.settle("blue", |health| health.state == State::Healthy).await;
        world
    }

    pub fn listener(&mut self) -> &mut Listener {
        &mut self.config.load_balancers[0].listeners[0]
    }

    /// Adds a rule behind the others.
    pub fn rule(&mut self, conditions: Vec<balancer::Condition>, action: Action) {
        let rules = &mut self.listener().rules;
        let priority = u32::try_from(rules.len() + 1).unwrap();
        rules.push(Rule { priority, conditions, action });
    }

    pub fn apply(&self) {
        assert_eq!(self.balancer.apply(&self.config), Default::default());
    }

    /// Waits until all targets of a group are so.
    pub async fn settle(&self, group: &str, is_so: impl Fn(&Health) -> bool) {
        let all = async {
            loop {
                let reports = self.balancer.health();
                let mut of_group = reports.iter().filter(|report| report.group == group);
                if of_group.all(|report| is_so(&report.health)) {
                    return;
                }
                self.balancer.changed().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the targets become so");
    }

    pub async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// The answer to `GET target` on a connection of its own.
    pub async fn get(&self, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
        self.connect().await.ask(&request).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.balancer.stop();
    }
}

/// A client's connection.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    /// Sends these bytes and reads one answer.
    pub async fn ask(&mut self, request: &str) -> String {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, read_request(&mut self.stream)).await;
        answer.expect("an answer comes").unwrap_or_default()
    }

    /// Whether the other end closes the connection.
    pub async fn is_closed(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut [0; 1])).await;
        matches!(read.expect("the connection ends or tells something"), Ok(0) | Err(_))
    }
}

/// Forwarding to these groups with these weights.
pub fn forward(groups: &[(&str, u32)]) -> Action {
    let groups = groups.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
    Action::Forward { groups, sticky: None }
}

/// A group of these targets.
pub fn group(name: &str, backends: &[&Backend]) -> Group {
    Group {
        name: name.to_owned(),
        targets: backends.iter().map(|backend| target(backend)).collect(),
        speaks: Speaks::Http1,
        tls: false,
        greets: false,
        by_source: false,
        cuts_unhealthy: false,
        cuts_gone: false,
        check: check("/"),
        algorithm: Algorithm::RoundRobin,
        sticky: None,
        app_cookie: None,
        slow_start: None,
        healthy_min: 1,
        healthy_min_percent: 0,
        verdicts: None,
    }
}

pub fn target(backend: &Backend) -> Target {
    Target {
        id: backend.address.ip().to_string(),
        port: backend.address.port(),
        address: backend.address,
        registration: 1,
        draining: false,
    }
}

/// Checks that follow each other fast.
pub fn check(path: &str) -> Check {
    Check {
        speaks: Speaks::Http1,
        tls: false,
        port: None,
        path: path.to_owned(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(20),
        healthy: 2,
        unhealthy: 2,
        codes: vec![(200, 200)],
    }
}
