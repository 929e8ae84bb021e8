//! Clients that call real servers and write down what they saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use terms::{Clock, Timestamp};
use wire::client::{Client, ClientError};

use super::checker::Entry;
use super::models::{CounterCall, RegisterCall};
use crate::chance::Chance;

/// Between two calls of a client at least this long, so that a history stays short enough.
const REST: Duration = Duration::from_millis(15);

/// The system's time, for signatures.
struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_millis(i64::try_from(now.unwrap().as_millis()).unwrap())
    }
}

/// A caller of one server, signing with the administrator's key.
pub fn client(endpoint: &str, keys: &(String, String)) -> Client {
    let credentials = wire::sigv4::Credentials {
        access_key_id: keys.0.clone(),
        secret: wire::Secret::new(keys.1.as_str()),
        session_token: None,
    };
    let region = "us-east-1".parse().unwrap();
    Client::new(endpoint, Some(credentials), region, Arc::new(SystemClock))
}

/// What became of a call.
enum Outcome {
    /// It was answered.
    Answered(Value),
    /// It was refused, and nothing was done.
    Refused,
    /// Nobody knows.
    Unsure,
}

/// How many calls ended how.
#[derive(Debug, Default)]
pub struct Counts {
    pub answered: AtomicU64,
    pub refused: AtomicU64,
    pub unsure: AtomicU64,
}

impl Counts {
    /// So many were answered until now.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// What many clients write down together: one history for each object.
pub struct Recorder {
    began: Instant,
    values: AtomicU64,
    pub registers: Vec<Mutex<Vec<Entry<RegisterCall>>>>,
    pub counters: Vec<Mutex<Vec<Entry<CounterCall>>>>,
    pub counts: Counts,
}

impl Recorder {
    /// For so many objects of each kind.
    pub fn new(objects: usize) -> Self {
        Self {
            began: Instant::now(),
            values: AtomicU64::new(1),
            registers: (0..objects).map(|_| Mutex::default()).collect(),
            counters: (0..objects).map(|_| Mutex::default()).collect(),
            counts: Counts::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    /// Calls servers by chance, one call after the other, until the time is up.
    pub async fn run(&self, clients: &[Client], seed: u64, until: Instant) {
        let mut chance = Chance::of(seed);
        while Instant::now() < until {
            let client = &clients[chance.below(clients.len())];
            let object = chance.below(self.registers.len());
            match chance.below(10) {
                0..3 => self.write(client, object).await,
                3..6 => self.read(client, object).await,
                6..8 => self.next(client, object).await,
                _ => self.last(client, object).await,
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn write(&self, client: &Client, object: usize) {
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        let tags = json!([{"key": "register", "value": value.to_string()}]);
        let input = json!({"resourceArn": cluster_arn(object), "tags": tags});
        let called = self.now();
        let returned = match self.call(client, "TagResource", &input).await {
            Outcome::Answered(_) => Some(self.now()),
            Outcome::Unsure => None,
            Outcome::Refused => return,
        };
        let call = RegisterCall::Write(value);
        self.registers[object].lock().push(Entry { called, returned, call });
    }

    async fn read(&self, client: &Client, object: usize) {
        let input = json!({"resourceArn": cluster_arn(object)});
        let called = self.now();
        let Outcome::Answered(answer) = self.call(client, "ListTagsForResource", &input).await
        else {
            return;
        };
        let returned = Some(self.now());
        let tags = answer["tags"].as_array().into_iter().flatten();
        let mut values = tags.filter(|tag| tag["key"] == "register");
        let value = values.next().map(|tag| tag["value"].as_str().unwrap().parse().unwrap());
        let call = RegisterCall::Read(value);
        self.registers[object].lock().push(Entry { called, returned, call });
    }

    async fn next(&self, client: &Client, object: usize) {
        let container = json!([{"name": "main", "image": "busybox", "memory": 16}]);
        let input = json!({"family": family(object), "containerDefinitions": container});
        let called = self.now();
        let (returned, made) = match self.call(client, "RegisterTaskDefinition", &input).await {
            Outcome::Answered(answer) => {
                (Some(self.now()), answer["taskDefinition"]["revision"].as_u64())
            }
            Outcome::Unsure => (None, None),
            Outcome::Refused => return,
        };
        let call = CounterCall::Next(made);
        self.counters[object].lock().push(Entry { called, returned, call });
    }

    async fn last(&self, client: &Client, object: usize) {
        let input = json!({"taskDefinition": family(object)});
        let called = self.now();
        let Outcome::Answered(answer) = self.call(client, "DescribeTaskDefinition", &input).await
        else {
            return;
        };
        let returned = Some(self.now());
        let seen = answer["taskDefinition"]["revision"].as_u64().unwrap_or(0);
        let call = CounterCall::Last(seen);
        self.counters[object].lock().push(Entry { called, returned, call });
    }

    async fn call(&self, client: &Client, operation: &str, input: &Value) -> Outcome {
        let outcome = match client.invoke(&shapes_ecs::SERVICE, operation, input).await {
            Ok(answer) => Outcome::Answered(answer),
            // A server that says 503 has done nothing: that is its promise, and it is checked here.
            Err(ClientError::Service { status: 503, .. }) => Outcome::Refused,
            Err(ClientError::Service { status: 500.., .. }) => Outcome::Unsure,
            Err(ClientError::Service { code, .. }) if code == "ThrottlingException" => {
                Outcome::Refused
            }
            Err(ClientError::Service { code, message, .. })
                if code == "ClientException" && message.contains("task definition") =>
            {
                Outcome::Answered(Value::Null)
            }
            Err(error @ ClientError::Service { .. }) => panic!("{operation}: {error}"),
            // Without a connection nothing was sent.
            Err(ClientError::Transport { source, .. })
                if format!("{source:?}").contains("Error(Connect") =>
            {
                Outcome::Refused
            }
            Err(_) => Outcome::Unsure,
        };
        let count = match outcome {
            Outcome::Answered(_) => &self.counts.answered,
            Outcome::Refused => &self.counts.refused,
            Outcome::Unsure => &self.counts.unsure,
        };
        count.fetch_add(1, Ordering::Relaxed);
        outcome
    }
}

/// The name of a register's cluster.
pub fn cluster(object: usize) -> String {
    format!("register-{object}")
}

fn cluster_arn(object: usize) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:cluster/{}", cluster(object))
}

fn family(object: usize) -> String {
    format!("counter-{object}")
}
