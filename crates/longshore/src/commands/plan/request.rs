//! `longshore plan run-task`: the request, and what is told of its plan.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, Value, json};

use super::changes::ChangeFlags;
use super::{ask, draw, print_json};
use crate::api::{short, text};
use crate::connection::Connection;
use crate::exit;
use crate::output::{self, Format, say};
use crate::shorthand;

const EXAMPLES: &str = "\
Examples:
  longshore plan run-task --task-definition web --count 3
  longshore plan run-task --task-definition web --count 10 \\
    --placement-strategy type=spread,field=attribute:ecs.availability-zone type=binpack,field=memory
  longshore plan run-task --task-definition web \\
    --placement-constraints 'type=memberOf,expression=attribute:ecs.instance-type =~ t2.*'
  longshore plan run-task --cli-input-json run-task.json --output json
  longshore plan run-task --task-definition web --count 10 --add-instances 2:m5.large@b
  longshore plan run-task --task-definition web --memory 4096 --snapshot backup.longshore

Ends with code 0 when all tasks would be placed, 3 when some would not, 1 on an error. The plan is made by the code that RunTask runs, from what the cluster has now. Nothing is kept for
it: another task may be faster.";

/// A RunTask that is not carried out. Flags are those of `aws ecs run-task`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunTask {
    /// The cluster [default: default]
    #[arg(long)]
    cluster: Option<String>,
    /// The task definition: family, family:revision or ARN
    #[arg(long, required_unless_present = "cli_input_json")]
    task_definition: Option<String>,
    /// How many tasks, 1 to 10 [default: 1]
    #[arg(long)]
    count: Option<u32>,
    /// The group that spread and distinctInstance count [default: family:FAMILY]
    #[arg(long)]
    group: Option<String>,
    /// The launch type; EC2 is the one that is built
    #[arg(long)]
    launch_type: Option<String>,
    /// Capacity providers in place of a launch type: capacityProvider=NAME,base=N,weight=N, or JSON
    #[arg(long, num_args = 1.., value_name = "ITEM")]
    capacity_provider_strategy: Vec<String>,
    /// What to spread over or to pack, the strongest wish first: type=T,field=F, or JSON
    #[arg(long, num_args = 1.., value_name = "STRATEGY")]
    placement_strategy: Vec<String>,
    /// What an instance must be: type=distinctInstance, type=memberOf,expression=E, or JSON
    #[arg(long, num_args = 1.., value_name = "CONSTRAINT")]
    placement_constraints: Vec<String>,
    /// Subnets and security groups of tasks in awsvpc mode: awsvpcConfiguration={subnets=[S]}, or JSON
    #[arg(long, value_name = "CONFIGURATION")]
    network_configuration: Option<String>,
    /// Overrides, as JSON
    #[arg(long, value_name = "JSON")]
    overrides: Option<String>,
    /// A file with the whole request, as `aws ecs run-task --cli-input-json` takes it; flags win
    #[arg(long, value_name = "FILE")]
    cli_input_json: Option<PathBuf>,
    /// CPU units of each task, in place of the definition's
    #[arg(long, value_name = "UNITS")]
    cpu: Option<u32>,
    /// Memory of each task in MiB, in place of the definition's
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    #[command(flatten)]
    changes: ChangeFlags,
    #[command(flatten)]
    connection: Connection,
}

impl RunTask {
    /// Asks and tells.
    ///
    /// # Errors
    /// As [`super::Plan::run`].
    pub async fn run(self, format: Format) -> Result<()> {
        let question = json!({"runTask": self.request()?, "changes": self.changes.question()});
        let answer = ask(&question, &self.changes, &self.connection).await?;
        let fits = answer["fits"] == true;
        match format {
            Format::Json => print_json(answer, "runTask")?,
            Format::Text => {
                tell(&answer["runTask"])?;
                draw::instances(&answer)?;
            }
        }
        exit::unless(fits)
    }

    /// The request: what the file says, and the flags over it.
    fn request(&self) -> Result<Value> {
        let mut request = match &self.cli_input_json {
            None => Map::new(),
            Some(file) => {
                let name = file.to_string_lossy();
                // The aws CLI wants its files to be named so.
                let path = name.strip_prefix("file://").unwrap_or(&name);
                let read = std::fs::read(path).with_context(|| format!("reading {path}"))?;
                serde_json::from_slice(&read)
                    .with_context(|| format!("{path} is no JSON object"))?
            }
        };
        let texts = [
            ("cluster", &self.cluster),
            ("taskDefinition", &self.task_definition),
            ("group", &self.group),
            ("launchType", &self.launch_type),
        ];
        for (member, value) in texts {
            value.iter().for_each(|value| drop(request.insert(member.to_owned(), json!(value))));
        }
        if let Some(count) = self.count {
            request.insert("count".to_owned(), json!(count));
        }
        let documents =
            [("networkConfiguration", &self.network_configuration), ("overrides", &self.overrides)];
        for (member, value) in documents {
            if let Some(value) = value {
                let value = shorthand::object(value).with_context(|| format!("the {member}"))?;
                request.insert(member.to_owned(), value);
            }
        }
        for (member, amount) in [("cpu", self.cpu), ("memory", self.memory)] {
            if let Some(amount) = amount {
                let overrides = request.entry("overrides").or_insert_with(|| json!({}));
                overrides[member] = json!(amount.to_string());
            }
        }
        let lists = [
            ("placementStrategy", &self.placement_strategy),
            ("placementConstraints", &self.placement_constraints),
        ];
        for (member, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            request.insert(member.to_owned(), shorthand::list(values)?);
        }
        if !self.capacity_provider_strategy.is_empty() {
            let items = shorthand::capacity_strategy(&self.capacity_provider_strategy)?;
            request.insert("capacityProviderStrategy".to_owned(), items);
        }
        Ok(request.into())
    }
}

fn tell(plan: &Value) -> Result<()> {
    let (count, placed) = (plan["count"].as_u64(), plan["placed"].as_u64());
    let (count, placed) = (count.unwrap_or_default(), placed.unwrap_or_default());
    let definition = short(text(plan, "taskDefinitionArn"));
    let cluster = short(text(plan, "clusterArn"));
    let tasks = if count == 1 { "task" } else { "tasks" };
    say!("{placed} of {count} {tasks} of {definition} would be placed in cluster {cluster}.");
    say!("Each takes {}; chosen {}.", needs(&plan["needs"]), chosen(plan));
    let places = plan["placements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !places.is_empty() {
        say!();
    }
    let row = |place: &Value| {
        vec![
            place["tasks"].to_string(),
            short(text(place, "containerInstanceArn")).to_owned(),
            text(place, "availabilityZone").to_owned(),
            place["remainingCpu"].to_string(),
            place["remainingMemory"].to_string(),
        ]
    };
    let headings = ["tasks", "instance", "zone", "cpu left", "memory left"];
    output::table(&headings, places.iter().map(row).collect())?;
    let considered = plan["considered"].as_u64().unwrap_or_default();
    if placed < count {
        let rest = count - placed;
        let them = if rest == 1 { "1 task finds".to_owned() } else { format!("{rest} tasks find") };
        say!("\n{them} no place: none of {considered} instances can take one more.");
        reasons(&plan["shortage"]);
    } else if plan["refused"]["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()) {
        say!("\nOf {considered} instances these cannot take the task:");
        reasons(&plan["refused"]);
    }
    Ok(())
}

fn needs(needs: &Value) -> String {
    let mut parts = vec![format!("{} CPU units and {} MiB", needs["cpu"], needs["memory"])];
    if needs["gpus"].as_u64().is_some_and(|gpus| gpus > 0) {
        parts.push(format!("{} GPUs", needs["gpus"]));
    }
    for (member, kind) in [("tcpPorts", "TCP port"), ("udpPorts", "UDP port")] {
        let ports = needs[member].as_array().into_iter().flatten();
        parts.extend(ports.map(|port| format!("{kind} {port}")));
    }
    parts.join(", ")
}

fn chosen(plan: &Value) -> String {
    let rules = plan["strategy"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let rules: Vec<_> = rules.collect();
    if rules.is_empty() {
        return "at random, as no strategy is asked for".to_owned();
    }
    format!("by {}", rules.join(", then "))
}

/// Each reason with its count, and some instances of each with what is lacking there.
pub fn reasons(refused: &Value) {
    for reason in refused["reasons"].as_array().into_iter().flatten() {
        let code = text(reason, "reason");
        say!("  {} × {code}", reason["instances"]);
        let examples = refused["examples"].as_array().into_iter().flatten();
        for example in examples.filter(|example| text(example, "reason") == code) {
            say!("      {}: {}", short(text(example, "instance")), text(example, "detail"));
        }
    }
}
