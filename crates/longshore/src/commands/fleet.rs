//! `longshore fleet`: the nodes of the operator's own that Fargate tasks run on.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::text;
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// The path that answers.
const PATH: &str = "/_longshore/fleet";

/// Flags of `longshore fleet`.
#[derive(Args, Debug)]
pub struct FleetCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Show the nodes
    #[command(after_help = "Example:\n  longshore fleet list")]
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Let a node take no more tasks: those of FARGATE_SPOT get their two minutes' warning, services
    /// replace those of FARGATE
    #[command(after_help = "Example:\n  longshore fleet drain NODE")]
    Drain(Of),
    /// Let a node take tasks again
    #[command(after_help = "Example:\n  longshore fleet activate NODE")]
    Activate(Of),
    /// Take a node out of the fleet, as its machine goes
    #[command(after_help = "Example:\n  longshore fleet remove NODE")]
    Remove {
        #[command(flatten)]
        of: Of,
        /// Also if tasks are on it: they count as stopped at once, and their services replace them
        #[arg(long)]
        force: bool,
    },
}

/// One node.
#[derive(Args, Debug)]
struct Of {
    /// The node's name or id
    node: String,
    #[command(flatten)]
    connection: Connection,
}

impl FleetCommand {
    /// Shows or changes the fleet.
    ///
    /// # Errors
    /// If the server cannot be reached, or there is no such node.
    pub async fn run(self, format: Format) -> Result<()> {
        match self.what {
            What::List { connection } => list(&connection, format).await,
            What::Drain(of) => change(&of, "DRAINING", false, format).await,
            What::Activate(of) => change(&of, "ACTIVE", false, format).await,
            What::Remove { of, force } => change(&of, "INACTIVE", force, format).await,
        }
    }
}

async fn list(connection: &Connection, format: Format) -> Result<()> {
    let told = connection.client()?.get(PATH).await?;
    if format == Format::Json {
        return Ok(output::json(&told)?);
    }
    let nodes = told["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if nodes.is_empty() {
        say!("No node takes Fargate tasks; start one with 'longshore agent --fleet fargate'.");
        return Ok(());
    }
    let headings =
        ["node", "zone", "takes", "status", "agent", "tasks", "vcpu free", "gb free", "id"];
    Ok(output::table(&headings, nodes.iter().map(row).collect())?)
}

fn row(node: &Value) -> Vec<String> {
    let is = |member: &str| node[member].as_bool().unwrap_or_default();
    let number = |member: &str| node[member].as_f64().unwrap_or_default() / 1024.0;
    let of = |left: &str, whole: &str| format!("{:.2}/{:.2}", number(left), number(whole));
    let takes = match (is("onDemand"), is("spot")) {
        (true, true) => "FARGATE, FARGATE_SPOT",
        (true, false) => "FARGATE",
        (false, _) => "FARGATE_SPOT",
    };
    vec![
        text(node, "name").to_owned(),
        text(node, "zone").to_owned(),
        takes.to_owned(),
        text(node, "status").to_owned(),
        if is("connected") { "connected" } else { "away" }.to_owned(),
        node["tasks"].to_string(),
        of("remainingCpu", "cpu"),
        of("remainingMemory", "memory"),
        text(node, "id").to_owned(),
    ]
}

async fn change(of: &Of, status: &str, force: bool, format: Format) -> Result<()> {
    let asked = json!({"node": of.node, "status": status, "force": force});
    let told = of.connection.client()?.post(PATH, &asked).await?;
    if format == Format::Json {
        return Ok(output::json(&told)?);
    }
    say!("{}  {status}", of.node);
    for task in told["interrupted"].as_array().into_iter().flatten() {
        say!("stopping  {}", task.as_str().unwrap_or_default());
    }
    Ok(())
}
