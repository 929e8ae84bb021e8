//! What deciding adds to a call: the processor time of the server for one, called by who may do
//! everything and is not evaluated, and by users whose policies are.
//!
//! The callers take turns, so that what else the machine does falls on all of them. Everything
//! else is the same: signature, input, handler, trail, answer. Two figures come of it: what the
//! policy engine takes to decide over the caller's statements (measured alone, on the same
//! statements), and all that a caller with policies costs besides: who it is, on which resources,
//! with what conditions, and what more the trail has to tell.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use policy::{Kind, Policy, PolicySets, Principal, PrincipalKind, Request, Source, decide};
use serde_json::{Value, json};
use shapes_iam::SERVICE as IAM;
use wire::Secret;
use wire::client::Client;
use wire::sigv4::Credentials;

use crate::load::{drive, signed};
use crate::longshore::{Longshore, Place, client, ecs, run_task};
use crate::process::{Usage, pin_self, processor_time};
use crate::report::Report;
use crate::stub_agent::StubAgent;

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// The goal: the most that the decision may be of a call, in percent.
const GOAL: f64 = 10.0;
/// Statements of the user with many; in policies of as many as the size of one allows.
const STATEMENTS: u32 = 100;
const POLICY_STATEMENTS: usize = 20;
/// Decisions that are measured alone.
const DECISIONS: u32 = 100_000;
/// The account of a server that was given none, and its cluster.
const ACCOUNT: &str = "000000000000";
const CLUSTER: &str = "arn:aws:ecs:us-east-1:000000000000:cluster/default";

/// What deciding adds to a call's processor time
#[derive(Args, Debug)]
pub struct Edge {
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Seconds of each caller's turn
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Turns of each caller; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
}

/// Who calls, and the microseconds of processor time of a call in each turn.
struct Turns {
    what: &'static str,
    client: Client,
    micros: Vec<f64>,
}

impl Turns {
    fn median(&self) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl Edge {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("edge: processor time of a signed call, one server core");
        pin_self(LOAD_CORE)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Longshore::start(place, "server", &[], Some(SERVER_CORE))?;
        runtime.block_on(self.measure(&server, &mut report))?;
        Ok(report)
    }

    async fn measure(&self, server: &Longshore, report: &mut Report) -> Result<()> {
        let operator = server.client()?;
        let _agent = StubAgent::join(&operator, server.port).await?;
        ecs(&operator, "CreateCluster", json!({"clusterName": "default"})).await?;
        let definition = json!({"family": "edge", "containerDefinitions": [
            {"name": "web", "image": "registry.example.test/web:1", "memory": 64}]});
        ecs(&operator, "RegisterTaskDefinition", definition).await?;
        let task = run_task(&operator, json!({"taskDefinition": "edge"})).await?;
        let everything = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        let hundred: Vec<Value> = (0..STATEMENTS).map(statement).collect();
        let one = [everything];
        let short = user(&operator, server.port, "short", &one).await?;
        let long = user(&operator, server.port, "long", &hundred).await?;
        let input = json!({"cluster": "default", "tasks": [&task]});
        for (operation, input) in [("DescribeTasks", input), ("DescribeClusters", json!({}))] {
            let turns =
                |what, client: &Client| Turns { what, client: client.clone(), micros: vec![] };
            let mut all = [
                turns("not evaluated", &operator),
                turns("one statement", &short),
                turns("100 statements, the last fits", &long),
            ];
            for _ in 0..self.rounds {
                for turn in &mut all {
                    let request = signed(&turn.client, operation, &input)?;
                    turn.micros.push(self.turn(server, &request).await?);
                }
            }
            let base = all[0].median();
            report.add(&format!("{operation}, {}", all[0].what), base, "us", "");
            for turn in &all[1..] {
                report.add(&format!("{operation}, {}", turn.what), turn.median(), "us", "");
                let statements: &[Value] =
                    if turn.what.starts_with("one") { &one } else { &hundred };
                let deciding = decision(statements, operation, resources(&task, operation))?;
                let share = |micros: f64| micros / turn.median() * 100.0;
                report.target("    of which the decision", share(deciding), GOAL, true, "%");
                let whole = share(turn.median() - base);
                report.add("    of which all that authorises", whole, "%", "");
            }
        }
        Ok(())
    }

    /// Microseconds of the server's processor time a call.
    async fn turn(&self, server: &Longshore, request: &[u8]) -> Result<f64> {
        let requests = || vec![request.to_vec(); usize::from(self.connections)];
        drive(server.port, requests(), Duration::from_millis(200)).await?;
        let before = Usage::of(server.id())?;
        let outcome = drive(server.port, requests(), Duration::from_secs(self.seconds)).await?;
        let used = Usage::of(server.id())?.since(&before).processor_seconds;
        Ok(used * 1e6 / outcome.latency.len() as f64)
    }
}

/// What an operation is about.
fn resources<'a>(task: &'a str, operation: &str) -> &'a str {
    if operation == "DescribeTasks" { task } else { CLUSTER }
}

/// Microseconds of one decision over these statements, in policies as a user has them.
fn decision(statements: &[Value], operation: &str, resource: &str) -> Result<f64> {
    let mut identity = Vec::new();
    for statements in statements.chunks(POLICY_STATEMENTS) {
        let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let policy = Policy::parse(&document, Kind::Identity)?.into();
        identity.push(Source { name: "bench".to_owned(), arn: None, policy });
    }
    let sets = PolicySets { identity: &identity, ..PolicySets::default() };
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/bench");
    let principal = Principal {
        kind: PrincipalKind::User,
        account: ACCOUNT.to_owned(),
        arn: arn.clone(),
        entity_arn: arn,
        entity_id: "AIDABENCH".to_owned(),
    };
    let (action, context) = (format!("ecs:{operation}"), policy::Context::default());
    let (principal, owner) = (&principal, ACCOUNT);
    let request = Request { principal, action: &action, resource, owner, context: &context };
    let began = processor_time();
    let allowed = (0..DECISIONS).filter(|_| decide(&request, &sets).is_allowed()).count();
    let took = processor_time() - began;
    ensure!(allowed == DECISIONS as usize, "{allowed} of {DECISIONS} were allowed");
    Ok(took.as_secs_f64() * 1e6 / f64::from(DECISIONS))
}

/// Statements about others' tasks, and in the end one about those that are asked for.
fn statement(number: u32) -> Value {
    let cluster =
        if number + 1 == STATEMENTS { "default".to_owned() } else { format!("c{number}") };
    json!({ "Effect": "Allow", "Action": ["ecs:Describe*", "ecs:RunTask"], "Resource": [
        format!("arn:aws:ecs:*:*:task/{cluster}/*"),
        format!("arn:aws:ecs:*:*:cluster/{cluster}"),
    ] })
}

/// A caller with a key of a new user with these statements.
async fn user(operator: &Client, port: u16, name: &str, statements: &[Value]) -> Result<Client> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let own = pair("UserName", name);
    operator.query(&IAM, "CreateUser", std::slice::from_ref(&own)).await?;
    for (number, statements) in statements.chunks(POLICY_STATEMENTS).enumerate() {
        let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let about =
            [pair("PolicyName", &format!("{name}{number}")), pair("PolicyDocument", &policy)];
        let made = operator.query(&IAM, "CreatePolicy", &about).await?;
        let arn = made["Policy"]["Arn"].as_str().context("CreatePolicy gave no ARN")?;
        operator.query(&IAM, "AttachUserPolicy", &[own.clone(), pair("PolicyArn", arn)]).await?;
    }
    let made = operator.query(&IAM, "CreateAccessKey", &[own]).await?;
    let text = |member: &str| -> Result<String> {
        let found = made["AccessKey"][member].as_str();
        Ok(found.with_context(|| format!("CreateAccessKey gave no {member}"))?.to_owned())
    };
    let secret = Secret::new(text("SecretAccessKey")?);
    let access_key_id = text("AccessKeyId")?;
    client(port, Credentials { access_key_id, secret, session_token: None })
}
