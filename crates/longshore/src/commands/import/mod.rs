//! `longshore import`: task definitions from what people have already.
//!
//! `compose` reads Compose files, `inspect` what `docker inspect` prints, `described` what
//! `aws ecs describe-task-definition` prints. All three give the request of
//! RegisterTaskDefinition, and notes on what it cannot say. They are pure: files, variables and
//! notes are passed in.

mod compose;
mod definition;
mod described;
mod draft;
mod inspect;
mod notes;
mod units;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value as Json;
use shapes_ecs as shapes;
use terms::Family;
use wire::value::Enumeration as _;

use crate::output;
use compose::{Surroundings, Wanted};
use notes::Notes;
use units::identifier;

/// Larger input is refused, in bytes.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;
/// MiB that are reserved for a container that names no memory.
const DEFAULT_MEMORY_MIB: i32 = 256;

const EXAMPLES: &str = "Examples:
  longshore import compose.yaml > task.json
  longshore import compose.yaml --service web --service db > task.json
  docker inspect web db | longshore import - --family shop > task.json
  aws ecs describe-task-definition --task-definition shop --include TAGS \\
    | longshore import - --notes notes.txt > task.json

Then:
  aws ecs register-task-definition --cli-input-json file://task.json
  longshore run task.json";

/// Flags of `longshore import`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// A Compose file, the output of `docker inspect`, or that of `aws ecs
    /// describe-task-definition`; `-` reads standard input
    file: PathBuf,
    /// Import this service or container, and no other that is not named too
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// The family to register in [default: made of the project, container or definition]
    #[arg(long)]
    family: Option<Family>,
    /// Memory to reserve, in MiB, for containers that name none
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MEMORY_MIB,
          value_parser = clap::value_parser!(i32).range(6..))]
    memory: i32,
    /// Write the notes on what could not be carried over to this file, not to standard error
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
}

impl Import {
    /// Prints the task definition, and the notes.
    ///
    /// # Errors
    /// If the input is none of the three, or wrong: the error names the field.
    pub fn run(self) -> Result<()> {
        let is_stdin = self.file.as_os_str() == "-";
        let shown =
            if is_stdin { "standard input".into() } else { self.file.display().to_string() };
        let text = read(&self.file, is_stdin).with_context(|| format!("reading {shown}"))?;
        let folder = match self.file.parent() {
            Some(parent) if !is_stdin => parent.to_owned(),
            _ => PathBuf::new(),
        };
        let folder = std::path::absolute(Path::new(".").join(folder))?;
        // Without `.`, so that the folder's name is the project's.
        let folder: PathBuf = folder.components().collect();
        let surroundings = Surroundings {
            variables: variables(&folder)?,
            folder,
            home: std::env::var("HOME").ok().filter(|home| !home.is_empty()),
            read: &|path| std::fs::read_to_string(path),
        };
        let notes = Notes::default();
        let family = self.family.map(|family| family.to_string());
        let wanted = Wanted { services: self.services, family, memory: self.memory };
        let json = import(&text, &surroundings, &wanted, &notes).context(shown)?;
        output::json(&json)?;
        match self.notes {
            Some(file) => std::fs::write(&file, notes.to_string())
                .with_context(|| format!("writing {}", file.display()))?,
            None if notes.is_empty() => {}
            None => eprint!("Not everything could be carried over as it was:\n{notes}"),
        }
        Ok(())
    }
}

fn read(file: &Path, is_stdin: bool) -> Result<String> {
    let input: Box<dyn io::Read> = match is_stdin {
        true => Box::new(io::stdin().lock()),
        false => Box::new(std::fs::File::open(file)?),
    };
    let mut text = String::new();
    input.take(MAX_INPUT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_INPUT_BYTES {
        bail!("it is larger than {MAX_INPUT_BYTES} bytes");
    }
    Ok(text)
}

/// The variables of the process over those of the folder's `.env`.
fn variables(folder: &Path) -> Result<BTreeMap<String, String>> {
    let own: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let file = folder.join(".env");
    let mut variables = match std::fs::read_to_string(&file) {
        Ok(text) => compose::variables(&text, &own)
            .map_err(|what| anyhow::anyhow!("{}: {what}", file.display()))?,
        Err(_) => BTreeMap::new(),
    };
    variables.extend(own);
    Ok(variables)
}

/// Reads whatever it is.
fn import(
    text: &str,
    surroundings: &Surroundings<'_>,
    wanted: &Wanted,
    notes: &Notes,
) -> Result<Json> {
    let json = if text.trim_start().starts_with(['{', '[']) {
        serde_json::from_str::<Json>(text).ok()
    } else {
        None
    };
    let request = match json {
        Some(Json::Array(items)) => inspect::import(&items, wanted, notes)?,
        Some(Json::Object(map)) if map.contains_key("HostConfig") => {
            inspect::import(&[Json::Object(map)], wanted, notes)?
        }
        Some(Json::Object(map)) if described::is_definition(&map) => {
            described::import(map, wanted, notes)?
        }
        Some(Json::Object(map)) if !map.contains_key("services") => bail!(
            "this JSON is neither the output of 'docker inspect' nor that of 'aws ecs \
             describe-task-definition', nor a Compose file"
        ),
        _ => compose::import(text, surroundings, wanted, notes)?,
    };
    definition::write(&request)
}

/// A family that is called after something.
fn family(name: &str) -> String {
    Some(identifier(name)).filter(|name| !name.is_empty()).unwrap_or_else(|| "imported".into())
}

/// A Linux platform of this architecture, in ECS's words.
fn platform(architecture: &str) -> shapes::RuntimePlatform {
    shapes::RuntimePlatform {
        cpu_architecture: shapes::CPUArchitecture::parse(architecture),
        operating_system_family: shapes::OSFamily::parse("LINUX"),
    }
}

#[cfg(test)]
mod tests;
