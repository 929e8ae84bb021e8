//! One client that asks for much more than there is, beside some that ask for little: what the
//! little ones get, with fair admission and without.
//!
//! The server has one core, the load another. The little ones offer a quarter of what the server
//! can do, at a steady rate; the greedy one offers the rest of 1, 2 and 10 times of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use tokio::net::TcpStream;
use wire::Secret;
use wire::client::Client;
use wire::sigv4::Credentials;

use crate::clock::WallClock;
use crate::load::{drive, exchange, signed};
use crate::longshore::{Longshore, Place, ecs, run_task};
use crate::process::pin_self;
use crate::report::{Report, Sample, ms};
use crate::stub_agent::StubAgent;

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// Tasks that each request describes: work enough that one core of load exceeds one of server.
const TASKS: usize = 100;
/// Clients that ask for little, each with a key and a connection of its own.
const MODEST: usize = 16;
/// Connections of the greedy client.
const GREEDY: usize = 512;
/// Their share of what the server can do.
const MODEST_SHARE: f64 = 0.25;
/// So many times what the server can do is offered.
const LOADS: [f64; 3] = [1.0, 2.0, 10.0];

/// What well-behaved clients get beside a greedy one
#[derive(Args, Debug)]
pub struct Overload {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

impl Overload {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        pin_self(LOAD_CORE)?;
        let title = "overload: DescribeTasks of 100, a greedy client beside 16 modest ones";
        let mut report = Report::new(title);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let fair: &[&str] = &["--auth", "open"];
        // So many that nobody ever waits: what happens without admission.
        let unfair: &[&str] = &["--auth", "open", "--max-requests", "1000000"];
        for (name, flags) in [("fair admission", fair), ("no admission", unfair)] {
            let server = Longshore::start(place, "server", flags, Some(SERVER_CORE))?;
            runtime.block_on(self.measure(name, &server, &mut report))?;
        }
        Ok(report)
    }

    async fn measure(&self, name: &str, server: &Longshore, report: &mut Report) -> Result<()> {
        let client = server.client()?;
        let _agent = StubAgent::join(&client, server.port).await?;
        let definition = json!({"family": "small", "containerDefinitions":
            [{"name": "main", "image": "registry.example.test/a", "cpu": 1, "memory": 4}]});
        ecs(&client, "RegisterTaskDefinition", definition).await?;
        let mut tasks = Vec::new();
        for _ in 0..TASKS {
            let input = json!({"cluster": "default", "taskDefinition": "small", "count": 1});
            tasks.push(run_task(&client, input).await?);
        }
        let input = json!({"cluster": "default", "tasks": tasks});
        let request = |key: &str| signed(&of_key(server, key), "DescribeTasks", &input);
        let time = Duration::from_secs(self.seconds);
        let closed = (0..32).map(|n| request(&format!("CLOSED{n}"))).collect::<Result<Vec<_>>>()?;
        let can = drive(server.port, closed, time).await?.rate;
        report.add(&format!("{name}: what the server can do"), can, "/s", "32 callers");
        for load in LOADS {
            let modest = can * MODEST_SHARE / MODEST as f64;
            let greedy = can * (load - MODEST_SHARE) / GREEDY as f64;
            let (few, much) = (Group::default(), Group::default());
            let mut callers = tokio::task::JoinSet::new();
            let until = Instant::now() + time;
            for number in 0..MODEST {
                let request = request(&format!("MODEST{number}"))?;
                callers.spawn(few.caller(server.port, request, modest, number, MODEST, until));
            }
            for number in 0..GREEDY {
                let request = request("GREEDY")?;
                callers.spawn(much.caller(server.port, request, greedy, number, GREEDY, until));
            }
            while let Some(ended) = callers.join_next().await {
                ended??;
            }
            let latency = few.latency();
            let served = |group: &Group| group.served.load(Ordering::Relaxed) as f64;
            let refused = |group: &Group| group.refused.load(Ordering::Relaxed);
            let seconds = time.as_secs_f64();
            let note = format!(
                "of {:.0} asked; {} refused; p50 {:.1} ms, p99 {:.1} ms; greedy: {:.0}/s served, {:.0}/s refused",
                can * MODEST_SHARE,
                refused(&few),
                ms(latency.quantile(0.5)),
                ms(latency.quantile(0.99)),
                served(&much) / seconds,
                refused(&much) as f64 / seconds,
            );
            let title = format!("{name}, {load:.0} times: modest clients' goodput");
            report.add(&title, served(&few) / seconds, "/s", note);
        }
        Ok(())
    }
}

/// A client of an open server that is known by this key.
fn of_key(server: &Longshore, key: &str) -> Client {
    let credentials = Credentials {
        access_key_id: key.to_owned(),
        secret: Secret::new("any"),
        session_token: None,
    };
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let region = "us-east-1".parse().expect("a region");
    Client::new(&endpoint, Some(credentials), region, Arc::new(WallClock))
}

/// What some callers got together.
#[derive(Clone, Debug, Default)]
struct Group {
    served: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    latencies: Arc<std::sync::Mutex<Vec<Duration>>>,
}

impl Group {
    /// Asks `rate` times a second, or as often as answers come if they come slower. Answers count
    /// from the time at which they were due to be asked for.
    fn caller(
        &self,
        port: u16,
        request: Vec<u8>,
        rate: f64,
        number: usize,
        of: usize,
        until: Instant,
    ) -> impl Future<Output = Result<()>> + use<> {
        let group = self.clone();
        async move {
            let every = Duration::from_secs_f64(1.0 / rate);
            let mut due = Instant::now() + every.mul_f64(number as f64 / of as f64);
            let mut stream = None;
            let mut buffer = Vec::with_capacity(1 << 17);
            while due < until {
                tokio::time::sleep_until(due.into()).await;
                let open = match stream.take() {
                    Some(open) => open,
                    None => {
                        TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?
                    }
                };
                let mut open: TcpStream = open;
                let (status, keep) = exchange(&mut open, &request, &mut buffer).await?;
                match &status {
                    b"200" => {
                        group.served.fetch_add(1, Ordering::Relaxed);
                        group.latencies.lock().expect("no panic").push(due.elapsed());
                    }
                    b"400" | b"503" => {
                        group.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => bail!("{}", String::from_utf8_lossy(&buffer)),
                }
                stream = keep.then_some(open);
                // What could not be asked in time is not asked for later.
                due = (due + every).max(Instant::now());
            }
            Ok(())
        }
    }

    fn latency(&self) -> Sample {
        Sample::new(std::mem::take(&mut *self.latencies.lock().expect("no panic")))
    }
}
