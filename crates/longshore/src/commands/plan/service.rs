//! `longshore plan create-service` and `plan update-service`: where tasks would go, and how the
//! deployment would proceed.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::changes::ChangeFlags;
use super::{ask, draw, print_json};
use crate::api::{short, text};
use crate::commands::deploy::prepare;
use crate::connection::Connection;
use crate::exit;
use crate::output::{self, Format, say};

/// Steps that are told one by one; between the first and the last of more, some are left out.
const STEPS_TOLD: usize = 40;

const CREATE_EXAMPLES: &str = "\
Examples:
  longshore plan create-service --cli-input-json service.json
  longshore plan create-service --cli-input-json service.json --add-instances 2:m5.large@b
  longshore plan create-service --cli-input-json service.json --output json

Ends with code 0 when the service would get all its tasks, 3 when it would not, 1 on an error. The
service scheduler itself is run on a copy of what the server knows, with tasks that start, pass
their checks and stop at once; nothing is kept.";

const UPDATE_EXAMPLES: &str = "\
Examples:
  longshore plan update-service --service web --task-definition web:42
  longshore plan update-service --service web --task-definition web.json
  longshore plan update-service --service web --desired-count 40 --remove-zone a
  longshore plan update-service --cli-input-json update.json --output json

Ends with code 0 when the deployment would come to its end, 3 when it would not, 1 on an error. The
service scheduler itself is run on a copy of what the server knows, with tasks that start, pass
their checks and stop at once; nothing is kept.";

/// A CreateService that is not carried out.
#[derive(Args, Debug)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct CreateService {
    /// A file with the whole request, as `aws ecs create-service --cli-input-json` takes it
    #[arg(long, value_name = "FILE")]
    cli_input_json: PathBuf,
    /// The cluster [default: the file's, else default]
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    changes: ChangeFlags,
    #[command(flatten)]
    connection: Connection,
}

/// An UpdateService that is not carried out.
#[derive(Args, Debug)]
#[command(after_help = UPDATE_EXAMPLES)]
pub struct UpdateService {
    /// The service's name or ARN
    #[arg(long, required_unless_present = "cli_input_json")]
    service: Option<String>,
    /// The cluster [default: the file's, else default]
    #[arg(long)]
    cluster: Option<String>,
    /// A task definition: a file that is registered in the copy, or FAMILY, FAMILY:REVISION or an ARN
    #[arg(long, value_name = "FILE|FAMILY[:REV]")]
    task_definition: Option<String>,
    /// How many tasks the service is to have
    #[arg(long, value_name = "COUNT")]
    desired_count: Option<u32>,
    /// A file with the whole request, as `aws ecs update-service --cli-input-json` takes it; flags win
    #[arg(long, value_name = "FILE")]
    cli_input_json: Option<PathBuf>,
    #[command(flatten)]
    changes: ChangeFlags,
    #[command(flatten)]
    connection: Connection,
}

impl CreateService {
    /// Asks and tells.
    ///
    /// # Errors
    /// As [`super::Plan::run`].
    pub async fn run(self, format: Format) -> Result<()> {
        let mut request = object(&self.cli_input_json)?;
        if let Some(cluster) = &self.cluster {
            request["cluster"] = cluster.as_str().into();
        }
        let cluster = request["cluster"].clone();
        let question = json!({"cluster": cluster, "createService": request});
        answer(question, &self.changes, &self.connection, format).await
    }
}

impl UpdateService {
    /// Asks and tells.
    ///
    /// # Errors
    /// As [`super::Plan::run`].
    pub async fn run(self, format: Format) -> Result<()> {
        let mut request = match &self.cli_input_json {
            Some(file) => object(file)?,
            None => json!({}),
        };
        let texts = [("service", &self.service), ("cluster", &self.cluster)];
        for (member, value) in texts {
            value.iter().for_each(|value| request[member] = value.as_str().into());
        }
        if let Some(count) = self.desired_count {
            request["desiredCount"] = count.into();
        }
        let mut question = json!({});
        match self.task_definition.as_deref() {
            Some(given) if prepare::is_file(given) => {
                question["registerTaskDefinition"] = prepare::read(&PathBuf::from(given))?;
            }
            Some(given) => request["taskDefinition"] = given.into(),
            None => {}
        }
        question["cluster"] = request["cluster"].clone();
        question["updateService"] = request;
        answer(question, &self.changes, &self.connection, format).await
    }
}

/// The JSON object of a file.
fn object(file: &std::path::Path) -> Result<Value> {
    let name = file.to_string_lossy();
    // The aws CLI wants its files to be named so.
    let path = PathBuf::from(name.strip_prefix("file://").unwrap_or(&name));
    let document = prepare::read(&path)?;
    if !document.is_object() {
        bail!("{} is no JSON object", path.display());
    }
    Ok(document)
}

async fn answer(
    mut question: Value,
    changes: &ChangeFlags,
    connection: &Connection,
    format: Format,
) -> Result<()> {
    question["changes"] = changes.question();
    question["play"] = true.into();
    let answer = ask(&question, changes, connection).await?;
    let fits = answer["fits"] == true;
    match format {
        Format::Json => print_json(answer, "rollout")?,
        Format::Text => {
            say!("{}", headline(&answer));
            tell_steps(&answer["rollout"])?;
            tell_places(&answer["rollout"])?;
            let events = answer["rollout"]["events"].as_array().into_iter().flatten();
            let lines: Vec<_> = events.filter_map(Value::as_str).collect();
            if !lines.is_empty() {
                say!("\nThe service would say:");
                lines.iter().for_each(|line| say!("  {line}"));
            }
            draw::instances(&answer)?;
        }
    }
    exit::unless(fits)
}

/// How it would end, in a sentence.
fn headline(answer: &Value) -> String {
    let service = text(&answer["service"], "serviceName");
    let definition = short(text(&answer["service"], "taskDefinition"));
    let rollout = &answer["rollout"];
    let end = match text(rollout, "end") {
        "COMPLETED" => None,
        "NO_PLACE" => Some("tasks find no place"),
        "STUCK" => {
            Some("minimumHealthyPercent and maximumPercent allow neither a start nor a stop")
        }
        _ => return format!("{service} would be deployed by somebody else's task sets."),
    };
    let steps = rollout["steps"].as_array().map_or(0, Vec::len);
    let steps = steps as u64 + rollout["stepsLeftOut"].as_u64().unwrap_or_default();
    match (rollout["deploys"] == true, end) {
        (true, None) => {
            format!(
                "The deployment of {definition} to {service} would be complete, in {steps} steps."
            )
        }
        (true, Some(why)) => {
            format!("The deployment of {definition} to {service} would not be complete: {why}.")
        }
        (false, None) => {
            format!("No deployment would begin; {service} would be as wanted, in {steps} steps.")
        }
        (false, Some(why)) => {
            format!("No deployment would begin, and {service} would not be as wanted: {why}.")
        }
    }
}

fn tell_steps(rollout: &Value) -> Result<()> {
    let steps = rollout["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |(at, step): (usize, &Value)| {
        let number = |member: &str| step[member].to_string();
        vec![
            (at + 1).to_string(),
            number("newPending"),
            number("newRunning"),
            number("old"),
            number("stopping"),
        ]
    };
    let mut rows: Vec<_> = steps.iter().enumerate().map(row).collect();
    let left_out = rows.len().saturating_sub(STEPS_TOLD);
    if left_out > 0 {
        let middle = STEPS_TOLD / 2;
        rows.splice(middle..middle + left_out, [vec![format!("… {left_out} more")]]);
    }
    if !rows.is_empty() {
        say!();
    }
    Ok(output::table(&["step", "new starting", "new running", "old", "stopping"], rows)?)
}

fn tell_places(rollout: &Value) -> Result<()> {
    let places = rollout["placements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !places.is_empty() {
        say!("\nIn the end its tasks would be on:");
    }
    let row = |place: &Value| {
        vec![
            place["tasks"].to_string(),
            text(place, "instance").to_owned(),
            text(place, "availabilityZone").to_owned(),
        ]
    };
    Ok(output::table(&["tasks", "instance", "zone"], places.iter().map(row).collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_in_a_sentence() {
        let told = |deploys: bool, end: &str| {
            headline(&json!({
                "service": {"serviceName": "web", "taskDefinition": "arn:x/web:2"},
                "rollout": {"deploys": deploys, "end": end, "steps": [{}, {}], "stepsLeftOut": 3},
            }))
        };
        let expected = "The deployment of web:2 to web would be complete, in 5 steps.";
        assert_eq!(told(true, "COMPLETED"), expected);
        let expected = "The deployment of web:2 to web would not be complete: tasks find no place.";
        assert_eq!(told(true, "NO_PLACE"), expected);
        assert!(told(false, "STUCK").ends_with("neither a start nor a stop."));
        let expected = "No deployment would begin; web would be as wanted, in 5 steps.";
        assert_eq!(told(false, "COMPLETED"), expected);
        assert_eq!(told(false, "NONE"), "web would be deployed by somebody else's task sets.");
    }
}
