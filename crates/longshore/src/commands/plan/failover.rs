//! `longshore plan failover`: where tasks would go.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::changes::ChangeFlags;
use super::{ask, draw, print_json, request};
use crate::api::{short, text};
use crate::connection::Connection;
use crate::exit;
use crate::output::{self, Format, say};

/// Flags of `longshore plan failover`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore plan failover --zone a
  longshore plan failover --zone us-east-1b --cluster shop --snapshot backup.longshore
  longshore plan failover --zone a --add-instances 2:m5.large@b --output json
  longshore plan failover --instance i-0123456789abcdef0

Ends with code 0 when all tasks would find a place, 3 when some would not, 1 on an error. ECS starts
tasks of services again elsewhere; tasks that were run alone, only whoever ran them does.")]
pub struct Failover {
    /// The zone that fails: its name, or its last letter
    #[arg(long, value_name = "ZONE", required_unless_present = "instance")]
    zone: Option<String>,
    /// The instance that fails: its name, EC2 id, id or ARN
    #[arg(long, value_name = "NAME", conflicts_with = "zone")]
    instance: Option<String>,
    /// The cluster [default: default]
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    changes: ChangeFlags,
    #[command(flatten)]
    connection: Connection,
}

impl Failover {
    /// Asks and tells.
    ///
    /// # Errors
    /// As [`super::Plan::run`].
    pub async fn run(self, format: Format) -> Result<()> {
        let failover = match (&self.zone, &self.instance) {
            (Some(zone), _) => json!({"zone": zone}),
            (None, instance) => json!({"instance": instance}),
        };
        let question = json!({
            "cluster": self.cluster, "changes": self.changes.question(), "failover": failover,
        });
        let answer = ask(&question, &self.changes, &self.connection).await?;
        let fits = answer["fits"] == true;
        match format {
            Format::Json => print_json(answer, "failover")?,
            Format::Text => tell(&answer)?,
        }
        exit::unless(fits)
    }
}

fn tell(answer: &Value) -> Result<()> {
    let moves = &answer["failover"];
    let number = |member: &str| moves[member].as_u64().unwrap_or_default();
    let (tasks, placed, instances) = (number("tasks"), number("placed"), number("instances"));
    let (lost, cluster) = (text(moves, "lost"), short(text(answer, "clusterArn")));
    say!(
        "Without {lost} cluster {cluster} loses {} with {}; {placed} of them would find a place.",
        counted(instances, "instance"),
        counted(tasks, "task"),
    );
    // Of each definition, how many go from where to where.
    let groups = moves["groups"].as_array().into_iter().flatten();
    let rows = groups.map(|group| {
        let count = |member: &str| group[member].to_string();
        let definition = short(text(group, "taskDefinitionArn")).to_owned();
        let needs = format!("{} CPU units, {} MiB", group["cpu"], group["memory"]);
        vec![definition, text(group, "group").to_owned(), count("tasks"), count("placed"), needs]
    });
    say!();
    output::table(&["definition", "group", "tasks", "placed", "each takes"], rows.collect())?;
    let mut ways: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for one in moves["moves"].as_array().into_iter().flatten() {
        let to = one["to"].as_str().unwrap_or("nowhere");
        *ways.entry((text(one, "from"), to, text(one, "toZone"))).or_default() += 1;
    }
    if ways.len() <= WAYS_TOLD && !ways.is_empty() {
        say!();
        let row = |((from, to, zone), tasks): ((&str, &str, &str), u64)| {
            vec![tasks.to_string(), from.to_owned(), to.to_owned(), zone.to_owned()]
        };
        output::table(&["tasks", "from", "to", "zone"], ways.into_iter().map(row).collect())?;
    }
    for group in moves["groups"].as_array().into_iter().flatten() {
        let left = group["tasks"].as_u64().unwrap_or_default()
            - group["placed"].as_u64().unwrap_or_default();
        if left > 0 {
            let definition = short(text(group, "taskDefinitionArn"));
            say!("\n{} of {definition} would find no place:", counted(left, "task"));
            request::reasons(&group["shortage"]);
        }
    }
    draw::instances(answer)
}

/// Ways from instance to instance that are told one by one.
const WAYS_TOLD: usize = 60;

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
