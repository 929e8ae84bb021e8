//! `longshore why-denied`: why a call was refused, or would be, in plain words.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::audit::{what, who};
use super::history::percent;
use crate::api::text;
use crate::audit::WHY_DENIED_PATH;
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// Flags of `longshore why-denied`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore why-denied 2f1c9a70-6f0e-4a52-9b0e-1d2c3b4a5968
  longshore why-denied --principal user/ada --action ecs:RunTask \\
    --resource arn:aws:ecs:us-east-1:000000000000:task-definition/web:3 \\
    --key ecs:cluster=arn:aws:ecs:us-east-1:000000000000:cluster/prod

The id of a request is in what clients print with --debug, and in 'longshore audit --denied'.")]
pub struct WhyDenied {
    /// The id of a request that was refused
    #[arg(value_name = "REQUEST-ID", required_unless_present = "principal")]
    request: Option<String>,
    /// A user, a role or a role's session: its ARN, or the part after the account, as user/ada
    #[arg(long, value_name = "ARN", requires = "action", conflicts_with = "request")]
    principal: Option<String>,
    /// What it wants to do, such as ecs:RunTask
    #[arg(long, value_name = "ACTION", requires = "principal")]
    action: Option<String>,
    /// To what: an ARN [default: *]
    #[arg(long, value_name = "ARN", requires = "principal")]
    resource: Option<String>,
    /// A condition key and its value; may be given several times
    #[arg(long, value_name = "NAME=VALUE", requires = "principal")]
    key: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

impl WhyDenied {
    /// Prints the explanation.
    ///
    /// # Errors
    /// If the server cannot be reached, or knows no such request or principal.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let told = client.get(&format!("{WHY_DENIED_PATH}?{}", self.query()?)).await?;
        if format == Format::Json {
            return Ok(output::json(&told)?);
        }
        if told["then"].is_object() {
            then(&told["then"]);
            say!();
        }
        match (&told["now"], told["unasked"].as_str()) {
            (now, _) if now.is_object() => explained(now, told["then"].is_object()),
            (_, Some(message)) => say!("No policy can be asked now: {message}"),
            _ => say!("It was no matter of policies."),
        }
        Ok(())
    }

    fn query(&self) -> Result<String> {
        if let Some(request) = &self.request {
            return Ok(format!("request={}", percent(request)));
        }
        let (Some(principal), Some(action)) = (&self.principal, &self.action) else {
            bail!("name a request, or --principal and --action");
        };
        if let Some(wrong) = self.key.iter().find(|key| !key.contains('=')) {
            bail!("--key {wrong}: write it as NAME=VALUE");
        }
        let resource = self.resource.as_deref().unwrap_or("*");
        Ok(format!(
            "principal={}&action={}&resource={}&keys={}",
            percent(principal),
            percent(action),
            percent(resource),
            percent(&self.key.join("\n")),
        ))
    }
}

/// What happened to the request.
fn then(event: &Value) {
    let outcome = match event["errorCode"].as_str() {
        Some(code) => format!("was answered with {code}"),
        None => "was carried out".to_owned(),
    };
    say!(
        "{} by {} at {} from {} {outcome}.",
        what(event),
        who(event),
        text(event, "eventTime"),
        event["sourceIPAddress"].as_str().unwrap_or("an unknown address"),
    );
    if let Some(message) = event["errorMessage"].as_str().filter(|text| !text.is_empty()) {
        say!("  {message}");
    }
    let decided = &event["additionalEventData"];
    if let Some(by) = decided["decidedBy"].as_str() {
        say!("  Decided by {by}.");
    }
    conditions(&decided["refusal"]);
}

/// The condition keys that were looked at.
fn conditions(refusal: &Value) {
    let items = refusal["context"]["conditions"]["items"].as_array();
    for item in items.into_iter().flatten() {
        let values = item["values"]["items"].as_array().into_iter().flatten();
        let values: Vec<_> = values.map(|one| text(one, "value")).collect();
        say!("    {} = {}", text(item, "key"), values.join(", "));
    }
}

/// What policies say now.
fn explained(now: &Value, is_again: bool) {
    let sentence = text(now, "sentence");
    let lead = if is_again { "Now: " } else { "" };
    say!("{lead}{sentence}.");
    let identity: Vec<&str> = now["policies"]["identity"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match identity.as_slice() {
        [] => say!("  It has no policies at all."),
        names => say!("  Policies that were asked: {}", names.join(", ")),
    }
    if let Some(boundary) = now["policies"]["boundary"].as_str() {
        say!("  Its permissions boundary: {boundary}");
    }
    let of_resource = now["policies"]["resource"].as_array().into_iter().flatten();
    let of_resource: Vec<&str> = of_resource.filter_map(Value::as_str).collect();
    if !of_resource.is_empty() {
        say!("  The resource's own policies: {}", of_resource.join(", "));
    }
    for item in now["detail"]["matchedStatements"]["items"].as_array().into_iter().flatten() {
        say!(
            "  {} by {}, statement {} (line {}){}",
            text(item, "effect"),
            text(item, "policy"),
            item["statement"],
            item["lines"][0],
            match text(item, "statementId") {
                "" => String::new(),
                sid => format!(", {sid}"),
            }
        );
    }
    let missing: Vec<&str> =
        now["missingKeys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !missing.is_empty() {
        say!("  Policies ask for keys that the call does not have: {}", missing.join(", "));
    }
    if text(now, "decision") == "implicitDeny" {
        say!(
            "  This statement in one of its policies would allow it:\n    \
             {{\"Effect\": \"Allow\", \"Action\": \"{}\", \"Resource\": \"{}\"}}",
            text(now, "action"),
            text(now, "resource"),
        );
    }
}
