//! `longshore debug bundle`: what whoever helps has to know, in one file, without secrets.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use terms::Clock;
use wire::client::Client;

use crate::api::{ecs, list, short, text};
use crate::clock::SystemClock;
use crate::commands::doctor;
use crate::connection::Connection;
use crate::observe::bundle::{DEBUG_PATH, MASK};
use crate::output::{self, Format, say};

/// The most clusters, and instances of each, that are told of.
const CLUSTERS_MAX: usize = 100;
const INSTANCES_MAX: usize = 100;
/// Words after which a log line may hold what nobody shall read.
const SECRET_WORDS: [&str; 6] =
    ["secret", "password", "token", "authorization", "credential", "private key"];

/// Flags of `longshore debug`.
#[derive(Args, Debug)]
pub struct Debug {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Gather versions, settings, figures, logs and states into one file; no secrets
    Bundle(Bundle),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  longshore debug bundle")]
struct Bundle {
    /// Where to write it [default: longshore-debug-<time>.tar.gz here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

type Files = BTreeMap<String, String>;

impl Debug {
    /// Gathers and writes.
    ///
    /// # Errors
    /// If the file cannot be written. A server that does not answer is noted in the bundle.
    pub async fn run(self, format: Format) -> Result<()> {
        let Action::Bundle(bundle) = self.action;
        let mut files = Files::new();
        let say = |what: &str| {
            if format == Format::Text {
                eprintln!("gathering {what} …");
            }
        };
        say("this machine");
        let findings = serde_json::to_string_pretty(&doctor::findings())?;
        files.insert("doctor.json".to_owned(), findings);
        files.insert(
            "client.json".to_owned(),
            json!({"version": env!("CARGO_PKG_VERSION")}).to_string(),
        );
        say("the server");
        match bundle.connection.client() {
            Ok(client) => gather(&client, &mut files, say).await,
            Err(error) => _ = files.insert("server-error.txt".to_owned(), format!("{error:#}")),
        }
        let secrets = bundle.connection.secrets();
        files.values_mut().for_each(|text| *text = scrubbed(text, &secrets));
        let stamp = SystemClock.now().to_string().replace([':', '.'], "-");
        let name = format!("longshore-debug-{stamp}");
        let out = bundle.out.unwrap_or_else(|| format!("{name}.tar.gz").into());
        write(&out, &name, &files)?;
        tell(&out, &files, format)
    }
}

async fn gather(client: &Client, files: &mut Files, say: impl Fn(&str)) {
    match client.get(DEBUG_PATH).await {
        Ok(Value::Object(parts)) => {
            for (name, part) in parts {
                files.insert(name, part.as_str().unwrap_or_default().to_owned());
            }
        }
        Ok(_) => {}
        Err(error) => _ = files.insert("server-error.txt".to_owned(), error.to_string()),
    }
    say("the agents");
    let agents = agents(client).await;
    let agents = agents.unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
    files.insert("agents.json".to_owned(), format!("{agents:#}"));
}

/// Clusters and instances, of each only what is named here.
async fn agents(client: &Client) -> Result<Value> {
    let mut told = Vec::new();
    let clusters = list(client, "ListClusters", json!({}), "clusterArns").await?;
    for cluster in clusters.iter().filter_map(Value::as_str).take(CLUSTERS_MAX) {
        let input = json!({"cluster": cluster});
        let all = list(client, "ListContainerInstances", input, "containerInstanceArns").await?;
        let some: Vec<_> = all.iter().take(INSTANCES_MAX).collect();
        let mut instances = Vec::new();
        if !some.is_empty() {
            let input = json!({"cluster": cluster, "containerInstances": some});
            let answer = ecs(client, "DescribeContainerInstances", &input).await?;
            instances = answer["containerInstances"].as_array().cloned().unwrap_or_default();
        }
        let instance = |one: &Value| {
            json!({
                "id": short(text(one, "containerInstanceArn")),
                "status": one["status"],
                "agentConnected": one["agentConnected"],
                "agent": one["versionInfo"],
                "runningTasks": one["runningTasksCount"],
                "pendingTasks": one["pendingTasksCount"],
                "registeredAt": one["registeredAt"],
            })
        };
        told.push(json!({
            "cluster": cluster,
            "instances": all.len(),
            "shown": instances.iter().map(instance).collect::<Vec<_>>(),
        }));
    }
    Ok(told.into())
}

/// The text without these secrets, and without what follows a telling word on a line.
fn scrubbed(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), MASK);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        out.push_str(&scrubbed_line(line));
    }
    out
}

/// `secret=abc`, `"password": "abc"`: the value goes. What is only mentioned stays.
fn scrubbed_line(line: &str) -> String {
    let lower = line.to_lowercase();
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for word in SECRET_WORDS {
        for (at, _) in lower.match_indices(word) {
            let after = at + word.len();
            let Some(rest) = lower.get(after..).filter(|_| line.is_char_boundary(after)) else {
                continue;
            };
            // The rest of the name, then what joins it to a value.
            let name = rest.len()
                - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
            let joint = rest[name..].trim_start_matches(['"', '\'', ' ']);
            let Some(value) = joint.strip_prefix(['=', ':']) else { continue };
            let value = value.trim_start_matches([' ', '"', '\'']);
            if value.starts_with(['{', '[', '(']) {
                continue;
            }
            let start = lower.len() - value.len();
            let length = value.find([' ', '"', '\'', ',', '}', '\n']).unwrap_or(value.len());
            cuts.push((start, start + length));
        }
    }
    cuts.sort_unstable();
    let mut out = String::with_capacity(line.len());
    let mut from = 0;
    for (start, end) in cuts.into_iter().filter(|(start, end)| start < end) {
        if start < from || lower.len() != line.len() {
            continue;
        }
        out.push_str(&line[from..start]);
        out.push_str(MASK);
        from = end;
    }
    out + &line[from..]
}

/// Writes them into a folder of this name in one file that only its owner can read.
fn write(out: &Path, name: &str, files: &Files) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(out)?;
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        let now = u64::try_from(SystemClock.now().seconds()).unwrap_or_default();
        for (file, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(now);
            archive.append_data(&mut header, format!("{name}/{file}"), text.as_bytes())?;
        }
        archive.into_inner()?.finish()?.flush()
    };
    write().with_context(|| format!("writing {}", out.display()))
}

fn tell(out: &Path, files: &Files, format: Format) -> Result<()> {
    if format == Format::Json {
        let sizes: BTreeMap<_, _> = files.iter().map(|(name, text)| (name, text.len())).collect();
        return Ok(output::json(&json!({"file": out, "contents": sizes}))?);
    }
    let row =
        |(name, text): (&String, &String)| vec![name.clone(), format!("{} bytes", text.len())];
    output::table(&["file", "size"], files.iter().map(row).collect())?;
    if files.contains_key("server-error.txt") {
        say!("\nThe server did not answer; what this machine knows is there all the same.");
    }
    say!(
        "\n{} holds versions, settings, figures, logs and states; no keys, no tokens and no task \
         definitions. Have a look before you pass it on: tar -xzf",
        out.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        let check = |line: &str, expected: &str| assert_eq!(scrubbed(line, &[]), expected);
        check("nothing here: a=b", "nothing here: a=b");
        check("a secret was sealed", "a secret was sealed");
        check("token=abc next", "token=(masked) next");
        check(
            r#"{"secretAccessKey": "abc", "x": 1}"#,
            r#"{"secretAccessKey": "(masked)", "x": 1}"#,
        );
        check("Authorization: AWS4 x\nfine", "Authorization: (masked) x\nfine");
        assert_eq!(scrubbed("xyz in the middle", &["xyz".to_owned()]), "(masked) in the middle");
    }
}
