//! Compose files (the Compose specification, as `docker compose` reads it).

mod dependencies;
mod environment;
mod field;
mod interpolate;
mod kernel;
mod ports;
mod resources;
mod service;
mod storage;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use shapes_ecs as shapes;

use super::definition::Volumes;
use super::draft::{Draft, Place};
use super::notes::Notes;
use super::units::identifier;
use field::{Context, Field};

/// Members of a file that mean nothing to a task, or are read elsewhere.
const SILENT: [&str; 3] = ["version", "services", "volumes"];
/// What `docker compose config` is good for.
const RESOLVE: &str = "resolve it first: docker compose config | longshore import -";

/// What surrounds a file.
pub struct Surroundings<'a> {
    /// The folder that relative paths begin in.
    pub folder: PathBuf,
    /// What `~` stands for.
    pub home: Option<String>,
    /// Variables: those of the process over those of `.env`.
    pub variables: BTreeMap<String, String>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// What is wanted of a file.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Services; all that no profile holds back if there are none.
    pub services: Vec<String>,
    /// The family; made of the project's name if absent.
    pub family: Option<String>,
    /// MiB that are reserved for containers that do not say.
    pub memory: i32,
}

/// What is read once for all services.
struct Project<'a> {
    name: String,
    surroundings: &'a Surroundings<'a>,
    /// Top-level volumes.
    volumes: BTreeMap<String, Field<'a>>,
    /// The services that are imported.
    chosen: BTreeSet<String>,
    memory: i32,
}

/// A container, and what its service asks of the task.
struct Read {
    draft: Draft,
    path: String,
    network_mode: Option<String>,
    pid_mode: Option<String>,
    ipc_mode: Option<String>,
    platform: Option<String>,
}

/// Reads a file.
///
/// # Errors
/// If it is no Compose file: the error names the field and its line.
pub fn import(
    text: &str,
    surroundings: &Surroundings<'_>,
    wanted: &Wanted,
    notes: &Notes,
) -> Result<shapes::RegisterTaskDefinitionRequest> {
    let context = Context { variables: &surroundings.variables, notes };
    let root = Field { path: String::new(), node: yaml::load(text)?, context };
    let Some(services) = root.get("services") else {
        return Err(root.wrong("a Compose file has 'services'"));
    };
    top_level(&root)?;
    let services = chosen(&services, wanted, surroundings)?;
    let folder = surroundings.folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let project = Project {
        name: match root.get("name") {
            Some(name) => name.text()?,
            None => folder.map_or_else(|| "imported".to_owned(), |name| identifier(&name)),
        },
        surroundings,
        volumes: match root.get("volumes") {
            Some(volumes) => volumes.entries()?.into_iter().collect(),
            None => BTreeMap::new(),
        },
        chosen: services.iter().map(|(name, _)| name.clone()).collect(),
        memory: wanted.memory,
    };
    let mut volumes = Volumes::default();
    let reads =
        services.iter().map(|(name, field)| service::read(name, field, &project, &mut volumes));
    let mut reads: Vec<Read> = reads.collect::<Result<_>>()?;
    let mode = network_mode(&reads, notes);
    dependencies::settle(&mut reads, mode, notes);
    let family = wanted.family.clone().unwrap_or_else(|| match &wanted.services[..] {
        [only] => super::family(&format!("{}-{only}", project.name)),
        _ => super::family(&project.name),
    });
    let mut task = together(reads, mode, notes);
    (task.family, task.volumes) = (family, volumes.finish());
    Ok(task)
}

/// Notes what stands beside the services.
fn top_level(root: &Field<'_>) -> Result<()> {
    for (name, field) in root.entries()? {
        match name.as_str() {
            _ if SILENT.contains(&&*name) || name.starts_with("x-") || field.is_null() => {}
            "name" | "networks" => {}
            "secrets" | "configs" => field.note(
                "not carried over: ECS takes secrets from SSM parameters or Secrets Manager \
                 (containerDefinitions[].secrets)",
            ),
            "include" => field.note(format!("not followed; {RESOLVE}")),
            _ => field.note("not carried over: unknown"),
        }
    }
    Ok(())
}

/// The services that are wanted, with what they extend.
fn chosen<'a>(
    services: &Field<'a>,
    wanted: &Wanted,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<(String, Field<'a>)>> {
    let all = services.entries()?;
    if all.is_empty() {
        return Err(services.wrong("there is no service"));
    }
    if let Some(unknown) =
        wanted.services.iter().find(|name| all.iter().all(|(has, _)| has != *name))
    {
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        bail!("there is no service '{unknown}' in the file; there are {}", names.join(", "));
    }
    let profiles = surroundings.variables.get("COMPOSE_PROFILES").map_or("", String::as_str);
    let profiles: Vec<&str> = profiles.split(',').map(str::trim).collect();
    let mut chosen = Vec::new();
    for (name, field) in all {
        let field = extended(services, field, 0)?;
        let held_back = match field.get("profiles") {
            Some(own) => {
                !own.texts()?.iter().any(|one| profiles.contains(&&**one) || profiles == ["*"])
            }
            None => false,
        };
        if wanted.services.contains(&name) || (wanted.services.is_empty() && !held_back) {
            chosen.push((name, field));
        } else if wanted.services.is_empty() {
            field.note(
                "left out: its profile is not active (--service or COMPOSE_PROFILES takes it in)",
            );
        }
    }
    if chosen.is_empty() {
        return Err(services.wrong("no service is left: all have profiles that are not active"));
    }
    Ok(chosen)
}

/// How long a chain of services that extend each other may be.
const MAX_EXTENDED: u32 = 10;

/// A service over the one of the same file that it extends.
fn extended<'a>(services: &Field<'a>, field: Field<'a>, depth: u32) -> Result<Field<'a>> {
    let Some(extends) = field.get("extends") else { return Ok(field) };
    if depth == MAX_EXTENDED {
        return Err(extends.wrong("services extend each other in a circle"));
    }
    if extends.is_map() && extends.get("file").is_some() {
        extends.note(format!("not followed into another file; {RESOLVE}"));
        return Ok(field);
    }
    let name = if extends.is_map() {
        let Some(service) = extends.get("service") else {
            return Err(extends.wrong("'service' is missing"));
        };
        service.text()?
    } else {
        extends.text()?
    };
    let Some(base) = services.get(&name) else {
        return Err(extends.wrong(format!("there is no service '{name}'")));
    };
    let base = extended(services, base, depth + 1)?;
    Ok(Field { node: yaml::extend(&field.node, &base.node), ..field })
}

/// One task of all containers.
fn together(
    reads: Vec<Read>,
    mode: shapes::NetworkMode,
    notes: &Notes,
) -> shapes::RegisterTaskDefinitionRequest {
    let mut task =
        shapes::RegisterTaskDefinitionRequest { network_mode: Some(mode), ..Default::default() };
    reads.iter().for_each(|read| wishes(&mut task, read, notes));
    let finish = |read: Read| read.draft.finish(Place { notes, path: &read.path }, &task);
    task.container_definitions = reads.into_iter().map(finish).collect();
    task
}

/// What a service asks of the task as a whole.
fn wishes(task: &mut shapes::RegisterTaskDefinitionRequest, read: &Read, notes: &Notes) {
    let note = |path: String, what: String| notes.add(path, what);
    match read.pid_mode.as_deref() {
        Some("host") => task.pid_mode = Some(shapes::PidMode::Host),
        Some(other) => note(format!("{}.pid", read.path), format!("'{other}' is left out")),
        None => {}
    }
    match read.ipc_mode.as_deref() {
        Some("host") => task.ipc_mode = Some(shapes::IpcMode::Host),
        Some("none") => task.ipc_mode = Some(shapes::IpcMode::None),
        Some("private") | None => {}
        // `shareable`, or the namespace of another service.
        Some(_) => task.ipc_mode = Some(shapes::IpcMode::Task),
    }
    match read.platform.as_deref() {
        Some("linux/amd64") => task.runtime_platform = Some(super::platform("X86_64")),
        Some("linux/arm64" | "linux/arm64/v8") => {
            task.runtime_platform = Some(super::platform("ARM64"));
        }
        Some(other) => {
            let what = format!("'{other}' is left out: ECS does not know it");
            note(format!("{}.platform", read.path), what);
        }
        None => {}
    }
}

/// The network mode that all services ask for, else bridge.
fn network_mode(reads: &[Read], notes: &Notes) -> shapes::NetworkMode {
    let words: BTreeSet<&str> =
        reads.iter().map(|read| read.network_mode.as_deref().unwrap_or("bridge")).collect();
    let mode = match words.iter().next() {
        Some(&"host") if words.len() == 1 => shapes::NetworkMode::Host,
        Some(&"none") if words.len() == 1 => shapes::NetworkMode::None,
        _ => shapes::NetworkMode::Bridge,
    };
    for read in reads {
        let word = read.network_mode.as_deref().unwrap_or("bridge");
        if word != mode.as_str() {
            notes.add(
                format!("{}.network_mode", read.path),
                format!(
                    "'{word}' is left out: all containers of a task have one network mode, here {}",
                    mode.as_str()
                ),
            );
        }
    }
    mode
}

pub use environment::parse as variables;
