//! `longshore diff`: what a deployment would change, field by field.

mod changes;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use self::changes::{Change, changes};
use crate::api::{short, text};
use crate::commands::deploy::{Named, prepare};
use crate::connection::Connection;
use crate::exit::Exit;
use crate::output::{self, Format};

/// The path that answers what a change would make of things.
const WHAT_IF: &str = "/_longshore/what-if";
/// The exit code when something would change, as diff(1) has it.
const CHANGES: u8 = 1;
/// That of an error.
const TROUBLE: u8 = 2;

/// What DescribeServices tells of a service that no deployment sets.
const NOT_SET: [&str; 18] = [
    "serviceArn",
    "serviceName",
    "clusterArn",
    "status",
    "runningCount",
    "pendingCount",
    "deployments",
    "taskSets",
    "events",
    "createdAt",
    "createdBy",
    "roleArn",
    "platformFamily",
    "tags",
    "taskDefinition",
    "currentServiceDeployment",
    "currentServiceRevisions",
    "resourceManagementType",
];
/// What CreateService takes and UpdateService does not, and where DescribeServices tells it.
const FIXED: [(&str, &str); 4] = [
    ("launchType", "launchType"),
    ("schedulingStrategy", "schedulingStrategy"),
    ("role", "roleArn"),
    ("deploymentController", "deploymentController"),
];

/// Flags of `longshore diff`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore diff web web.json                    (a task definition)
  longshore diff web service.json --cluster shop (a service, as aws ecs create-service
                                                  --cli-input-json takes it)
  longshore diff web web.json --output json

Ends with code 0 when nothing would change, 1 when something would, 2 on an error. Nothing is
registered: the server works out what the file would become, defaults and all, and forgets it.")]
pub struct Diff {
    /// The service's name or ARN
    service: String,
    /// A task definition or a service, as JSON
    file: PathBuf,
    /// The service's cluster [default: that of the ARN, else default]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// What would change.
#[derive(Debug, Default)]
struct Differences {
    /// The definition now, and as it would be.
    definitions: (String, String),
    /// Of the task definition.
    definition: Vec<Change>,
    /// Of the service.
    service: Vec<Change>,
    /// Fields that only creating the service anew would change.
    fixed: Vec<Change>,
    /// Tags of the service, which no deployment changes.
    tags: Vec<Change>,
    /// Whether a deployment would begin.
    deploys: bool,
}

impl Diff {
    /// Tells what would change.
    ///
    /// # Errors
    /// [`Exit`] with 1 if something would change, with 2 if that cannot be told.
    pub async fn run(self, format: Format) -> Result<()> {
        let found = match self.find().await {
            Ok(found) => found,
            Err(error) => {
                eprintln!("longshore: {error:#}");
                return Err(Exit(TROUBLE).into());
            }
        };
        match format {
            Format::Json => output::json(&found.document())?,
            Format::Text => {
                let mut out = io::stdout().lock();
                let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
                for line in found.lines(short(&self.service), colours) {
                    writeln!(out, "{line}")?;
                }
            }
        }
        if found.is_empty() { Ok(()) } else { Err(Exit(CHANGES).into()) }
    }

    async fn find(&self) -> Result<Differences> {
        let name = self.file.to_string_lossy();
        // The aws CLI wants its files to be named so.
        let file = PathBuf::from(name.strip_prefix("file://").unwrap_or(&name));
        let document = prepare::read(&file)?;
        let named = Named::of(&self.service, self.cluster.as_deref());
        let client = self.connection.client()?;
        let before = named.describe_with(&client, &["TAGS"]).await?;
        let Some(members) = document.as_object() else { bail!("{name} is no JSON object") };
        let input = json!({"cluster": named.cluster, "service": named.service});
        let question = if members.contains_key("containerDefinitions") {
            json!({"cluster": named.cluster, "registerTaskDefinition": document, "updateService": input})
        } else {
            json!({"cluster": named.cluster, "updateService": update(input, members)?})
        };
        let after = client.post(WHAT_IF, &question).await?;
        let mut found = differences(&before, &after["service"]);
        found.fixed = fixed(members, &before);
        if !members.contains_key("containerDefinitions") && members.contains_key("tags") {
            let only_tags = |of: &Value| json!({"tags": of["tags"]});
            found.tags = changes(&only_tags(&before), &only_tags(&document));
        }
        let (now, then) =
            (text(&before, "taskDefinition"), text(&after["service"], "taskDefinition"));
        found.definitions = (short(now).to_owned(), short(then).to_owned());
        let then = match &after["taskDefinition"] {
            Value::Null if now == then => return Ok(found),
            Value::Null => prepare::described(&client, then).await?,
            // Tags are given with a definition and told apart from it.
            registered => prepare::registrable(
                json!({"taskDefinition": registered, "tags": document["tags"]}),
            ),
        };
        found.definition = changes(&prepare::described(&client, now).await?, &then);
        Ok(found)
    }
}

/// A request of UpdateService that makes a service what a CreateService request says.
fn update(mut input: Value, members: &Map<String, Value>) -> Result<Value> {
    let is_fixed = |name: &str| FIXED.iter().any(|(fixed, _)| *fixed == name);
    for (name, value) in members {
        if !["serviceName", "service", "cluster", "clientToken", "tags"].contains(&name.as_str())
            && !is_fixed(name)
        {
            input[name] = value.clone();
        }
    }
    if input.as_object().is_none_or(|input| input.len() <= 2) {
        bail!("the file is neither a task definition nor a service: it says nothing to deploy");
    }
    Ok(input)
}

/// What the file says otherwise than it is, and no deployment can change.
fn fixed(members: &Map<String, Value>, service: &Value) -> Vec<Change> {
    let given = FIXED.iter().filter_map(|(name, told)| Some((*name, *told, members.get(*name)?)));
    let of = |(name, told, after): (&str, &str, &Value)| {
        let with = |value: &Value| json!({ name: value });
        changes(&with(&service[told]), &with(after))
    };
    given.flat_map(of).collect()
}

/// What an update changes of a service.
fn differences(before: &Value, after: &Value) -> Differences {
    let settings = |service: &Value| {
        let mut settings = service.clone();
        if let Some(members) = settings.as_object_mut() {
            NOT_SET.iter().for_each(|name| drop(members.remove(*name)));
        }
        settings
    };
    let primary = |service: &Value| {
        let mut all = service["deployments"].as_array().into_iter().flatten();
        all.find(|one| text(one, "status") == "PRIMARY").map(|one| one["id"].clone())
    };
    Differences {
        service: changes(&settings(before), &settings(after)),
        deploys: primary(before) != primary(after),
        ..Differences::default()
    }
}

impl Differences {
    fn is_empty(&self) -> bool {
        self.definition.is_empty()
            && self.service.is_empty()
            && self.fixed.is_empty()
            && self.tags.is_empty()
            && self.definitions.0 == self.definitions.1
    }

    fn document(&self) -> Value {
        let told = |all: &[Change]| -> Value {
            let one = |c: &Change| json!({"path": c.path, "before": c.before, "after": c.after});
            all.iter().map(one).collect()
        };
        json!({
            "changed": !self.is_empty(),
            "deploys": self.deploys,
            "taskDefinition": {
                "before": self.definitions.0,
                "after": self.definitions.1,
                "changes": told(&self.definition),
            },
            "service": told(&self.service),
            "needNewService": told(&self.fixed),
            "tags": told(&self.tags),
        })
    }

    fn lines(&self, service: &str, colours: bool) -> Vec<String> {
        if self.is_empty() {
            return vec![format!("{service} is so already; nothing would change.")];
        }
        let (now, then) = &self.definitions;
        let begins =
            if self.deploys { "a deployment would begin" } else { "no deployment would begin" };
        let mut lines = vec![format!("{service}: {begins}")];
        if now != then {
            lines.push(format!("\ntask definition {now} → {then}"));
            if self.definition.is_empty() {
                lines.push("  the same in all fields".to_owned());
            }
        }
        lines.extend(self.definition.iter().flat_map(|one| one.lines(colours)));
        if !self.service.is_empty() {
            lines.push("\nservice".to_owned());
            lines.extend(self.service.iter().flat_map(|one| one.lines(colours)));
        }
        if !self.fixed.is_empty() {
            lines.push("\nonly a new service would have".to_owned());
            lines.extend(self.fixed.iter().flat_map(|one| one.lines(colours)));
        }
        if !self.tags.is_empty() {
            lines.push("\nby aws ecs tag-resource and untag-resource alone".to_owned());
            lines.extend(self.tags.iter().flat_map(|one| one.lines(colours)));
        }
        lines
    }
}

impl Change {
    /// What was with a minus, what would be with a plus.
    fn lines(&self, colours: bool) -> Vec<String> {
        let line = |sign: char, colour: &str, value: &Option<Value>| {
            let value = value.as_ref()?;
            let (begin, end) = if colours { (colour, "\x1b[0m") } else { ("", "") };
            Some(format!("{begin}{sign} {}: {value}{end}", self.path))
        };
        let both = [line('-', "\x1b[31m", &self.before), line('+', "\x1b[32m", &self.after)];
        both.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(definition: u32, deployment: u32, desired: u32) -> Value {
        json!({
            "serviceName": "web", "taskDefinition": format!("arn:x/web:{definition}"),
            "desiredCount": desired, "runningCount": 3, "launchType": "EC2",
            "deployments": [{"id": format!("ecs-svc/{deployment}"), "status": "PRIMARY"}],
            "deploymentConfiguration": {"maximumPercent": 200},
        })
    }

    #[test]
    fn a_change_is_told_with_what_was_and_would_be() {
        let mut found = differences(&service(1, 1, 3), &service(2, 2, 5));
        found.definitions = ("web:1".into(), "web:2".into());
        let image = |tag: u32| json!({"containerDefinitions": [{"name": "app", "image": format!("web:{tag}")}]});
        found.definition = changes(&image(1), &image(2));
        assert_eq!(
            found.lines("web", false),
            [
                "web: a deployment would begin",
                "\ntask definition web:1 → web:2",
                "- containerDefinitions[app].image: \"web:1\"",
                "+ containerDefinitions[app].image: \"web:2\"",
                "\nservice",
                "- desiredCount: 3",
                "+ desiredCount: 5",
            ]
        );
        assert!(found.lines("web", true)[2].starts_with("\x1b[31m- "));
        assert_eq!(found.document()["service"][0]["path"], "desiredCount");
    }

    #[test]
    fn what_is_so_already_is_no_change() {
        let found = differences(&service(1, 1, 3), &service(1, 1, 3));
        assert!(found.is_empty() && !found.deploys);
        assert_eq!(found.lines("web", false), ["web is so already; nothing would change."]);
    }

    #[test]
    fn a_create_service_request_becomes_an_update() {
        let file = json!({
            "serviceName": "web", "cluster": "shop", "clientToken": "t", "desiredCount": 2,
            "taskDefinition": "web:2", "launchType": "FARGATE", "schedulingStrategy": "REPLICA",
        });
        let members = file.as_object().cloned().unwrap_or_default();
        let input = update(json!({"cluster": "shop", "service": "web"}), &members);
        let expected = json!({"cluster": "shop", "service": "web", "desiredCount": 2, "taskDefinition": "web:2"});
        assert_eq!(input.ok(), Some(expected));
        let mut is = service(1, 1, 1);
        is["schedulingStrategy"] = "REPLICA".into();
        let fixed = fixed(&members, &is);
        assert_eq!(fixed.len(), 1);
        assert_eq!(fixed[0].path, "launchType");
        let empty = json!({"serviceName": "web"}).as_object().cloned().unwrap_or_default();
        assert!(update(json!({"cluster": "shop", "service": "web"}), &empty).is_err());
    }
}
