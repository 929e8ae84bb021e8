//! `longshore deploy`: begins a deployment of a service and follows it to its end.

mod bars;
mod course;
mod follow;
mod health;
pub mod prepare;
mod screen;
#[cfg(test)]
mod scripted;
mod tasks;

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use wire::client::Client;

use crate::api::{ecs, short, text};
use crate::connection::Connection;
use crate::output::{self, Format, say};

pub use self::prepare::Image;

/// Flags of `longshore deploy`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore deploy web --image app=registry.local/web:2.1
  longshore deploy web --task-definition web.json           (a file is registered first)
  longshore deploy web --task-definition web:41 --cluster shop
  longshore deploy web --task-definition web.json --image app=web:2.1 --output json
  longshore deploy web                                      (the same once more: tags are resolved anew)
  longshore deploy web --attach                             (look at the one that goes on)

Ends with code 0 when the deployment succeeded, 3 when it failed or was rolled back, 4 when it was
stopped or a newer one took its place, 5 when it still goes on after --timeout, 130 after Ctrl-C (it
goes on), 1 on an error.")]
pub struct Deploy {
    /// The service's name or ARN
    service: String,
    /// The service's cluster [default: that of the ARN, else default]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// What a container is to run, as CONTAINER=REF; REF alone if there is but one container
    #[arg(long, value_name = "CONTAINER=REF", conflicts_with = "attach")]
    image: Vec<Image>,
    /// A task definition: a file that is registered, or FAMILY, FAMILY:REVISION or an ARN
    #[arg(long, value_name = "FILE|FAMILY[:REV]", conflicts_with = "attach")]
    task_definition: Option<String>,
    /// When to stop following
    #[arg(long, value_enum, default_value_t, value_name = "STATE")]
    wait_for: WaitFor,
    /// Begin it and end
    #[arg(long, conflicts_with = "attach")]
    no_follow: bool,
    /// Begin nothing; follow the deployment that goes on
    #[arg(long)]
    attach: bool,
    /// Stop following after so many seconds; the deployment goes on
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    connection: Connection,
}

/// What has to be so for the command to end well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The deployment is COMPLETED
    #[default]
    Completed,
    /// It is, and nothing of earlier ones is left, as the waiter services-stable has it
    Steady,
    /// One new task is healthy; the rest goes on
    FirstHealthy,
}

/// The service that is deployed, as it is named in calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
}

impl Named {
    /// The service's name and cluster, whichever way they were given.
    pub fn of(service: &str, cluster: Option<&str>) -> Self {
        // arn:…:service/CLUSTER/NAME; the old form of ARNs has no cluster in it.
        let parts: Vec<&str> = service.split('/').collect();
        let named = match parts[..] {
            [head, cluster, _] if head.starts_with("arn:") => Some(cluster),
            _ => None,
        };
        let cluster = cluster.or(named).unwrap_or("default").to_owned();
        Self { cluster, service: short(service).to_owned() }
    }

    /// The service as DescribeServices tells it.
    ///
    /// # Errors
    /// If the call fails, or the cluster has no such service.
    pub async fn describe(&self, client: &Client) -> Result<Value> {
        self.describe_with(client, &[]).await
    }

    /// The same with what DescribeServices tells only if it is asked for, such as `TAGS`.
    ///
    /// # Errors
    /// As [`Named::describe`].
    pub async fn describe_with(&self, client: &Client, include: &[&str]) -> Result<Value> {
        let input =
            json!({"cluster": self.cluster, "services": [self.service], "include": include});
        let mut answer = ecs(client, "DescribeServices", &input).await?;
        match answer["services"].get_mut(0) {
            Some(service) => Ok(service.take()),
            None => Err(anyhow!(
                "the cluster {} has no service {}; 'longshore status' lists those it has",
                self.cluster,
                self.service
            )),
        }
    }
}

impl Deploy {
    /// Begins a deployment and follows it.
    ///
    /// # Errors
    /// If the service is not there, the definition is refused, or the server cannot be reached;
    /// [`crate::exit::Exit`] for a deployment that did not end well.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        self.carry_out(&client, format).await
    }

    async fn carry_out(&self, client: &Client, format: Format) -> Result<()> {
        let named = Named::of(&self.service, self.cluster.as_deref());
        let before = named.describe(client).await?;
        match text(&before, "status") {
            "ACTIVE" => {}
            status => bail!("the service {} is {status}; it takes no deployment", named.service),
        }
        if text(&before["deploymentController"], "type") == "EXTERNAL" {
            bail!(
                "the service {} has the deployment controller EXTERNAL: who controls it deploys \
                 by task sets",
                named.service
            );
        }
        // From before the change on: whoever interrupts while the server answers means what follows.
        let interrupted = signal(SignalKind::interrupt())?;
        let after =
            if self.attach { before.clone() } else { self.begin(client, &named, &before).await? };
        let has_begun = follow::primary(&before) != follow::primary(&after);
        if self.no_follow || !(has_begun || self.attach) {
            return begun(&after, has_begun, format);
        }
        let plan = follow::Plan {
            named,
            wait_for: self.wait_for,
            limit: std::time::Duration::from_secs(self.timeout),
            format,
        };
        plan.follow(client, interrupted, (&before, &after)).await
    }

    /// Registers what is to be registered and updates the service; gives the service as it is then.
    async fn begin(&self, client: &Client, named: &Named, before: &Value) -> Result<Value> {
        let given = self.task_definition.as_deref();
        let definition = match given {
            Some(given) if prepare::is_file(given) => Some(prepare::read(&PathBuf::from(given))?),
            _ if self.image.is_empty() => None,
            other => {
                let base = other.unwrap_or_else(|| text(before, "taskDefinition"));
                Some(prepare::described(client, base).await?)
            }
        };
        let definition = match definition {
            Some(mut document) => {
                prepare::change_images(&mut document, &self.image)?;
                let answer = ecs(client, "RegisterTaskDefinition", &document).await?;
                Some(text(&answer["taskDefinition"], "taskDefinitionArn").to_owned())
            }
            None => given.map(str::to_owned),
        };
        let mut input = json!({"cluster": named.cluster, "service": named.service});
        match definition {
            Some(definition) => input["taskDefinition"] = definition.into(),
            None => input["forceNewDeployment"] = true.into(),
        }
        let mut answer = ecs(client, "UpdateService", &input).await?;
        Ok(answer["service"].take())
    }
}

/// Tells of the deployment that nobody follows, or that none has begun.
fn begun(service: &Value, has_begun: bool, format: Format) -> Result<()> {
    let deployments = service["deployments"].as_array().into_iter().flatten();
    let mut primary = deployments.filter(|one| text(one, "status") == "PRIMARY");
    let primary = primary.next().unwrap_or(&Value::Null);
    if format == Format::Json {
        return Ok(output::json(&json!({"begun": has_begun, "deployment": primary}))?);
    }
    let (name, id) = (text(service, "serviceName"), text(primary, "id"));
    let definition = short(text(primary, "taskDefinition"));
    match has_begun {
        true => say!("{}  {name} → {definition}  {id}", text(primary, "rolloutState")),
        false => say!(
            "{name} has {definition} already, so nothing was begun; 'longshore deploy {name}' \
             alone deploys the same again"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_by_name_or_arn() {
        let check = |service: &str, cluster: Option<&str>, expected: (&str, &str)| {
            let Named { cluster, service } = Named::of(service, cluster);
            assert_eq!((cluster.as_str(), service.as_str()), expected);
        };
        let arn = "arn:aws:ecs:us-east-1:000000000000:service/shop/web";
        check("web", None, ("default", "web"));
        check("web", Some("shop"), ("shop", "web"));
        check(arn, None, ("shop", "web"));
        check(arn, Some("other"), ("other", "web"));
        check("arn:aws:ecs:us-east-1:000000000000:service/web", None, ("default", "web"));
    }
}
