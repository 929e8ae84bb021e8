//! `longshore plan`: where tasks would go, what would not fit, and why; with instances added and
//! taken away, after a failure, of a running server or of an exported snapshot.

mod changes;
mod draw;
mod failover;
mod request;
mod service;
mod snapshot;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::connection::Connection;
use crate::output::{self, Format};

/// The path that answers questions.
const PATH: &str = "/_longshore/what-if";

/// Flags of `longshore plan`.
#[derive(Args, Debug)]
pub struct Plan {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Tell where `aws ecs run-task` would place tasks, and start none
    RunTask(request::RunTask),
    /// Tell where `aws ecs create-service` would place tasks, and create nothing
    CreateService(service::CreateService),
    /// Tell how a deployment of `aws ecs update-service` would proceed, and change nothing
    UpdateService(service::UpdateService),
    /// Tell where the tasks of a zone or an instance would go if it failed
    Failover(failover::Failover),
}

impl Plan {
    /// Makes the plan and prints it.
    ///
    /// # Errors
    /// If the server cannot be reached or the snapshot not be read, or RunTask would be refused;
    /// [`crate::exit::Exit`] if something does not fit.
    pub async fn run(self, format: Format) -> Result<()> {
        match self.action {
            Action::RunTask(flags) => flags.run(format).await,
            Action::CreateService(flags) => flags.run(format).await,
            Action::UpdateService(flags) => flags.run(format).await,
            Action::Failover(flags) => flags.run(format).await,
        }
    }
}

/// Asks the snapshot, or the server.
async fn ask(
    question: &Value,
    changes: &changes::ChangeFlags,
    connection: &Connection,
) -> Result<Value> {
    match &changes.snapshot {
        Some(file) => snapshot::ask(file, question).await,
        None => Ok(connection.client()?.post(PATH, question).await?),
    }
}

/// Prints the answer about `part` as one document: the part's own members, then those of all.
fn print_json(mut answer: Value, part: &str) -> Result<()> {
    let mut told = answer[part].take();
    if let (Some(told), Some(answer)) = (told.as_object_mut(), answer.as_object()) {
        let rest = answer.iter().filter(|(name, _)| *name != part);
        told.extend(rest.map(|(name, value)| (name.clone(), value.clone())));
    }
    Ok(output::json(&told)?)
}
