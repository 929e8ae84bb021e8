//! A task definition in the making: its volumes, and its JSON.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value as Json;
use shapes_ecs as shapes;
use wire::check::{Check, describe};
use wire::protocol::{JsonReader, JsonWriter};
use wire::value::{Structure, Value};

use super::units::identifier;

/// How many bytes a definition is given room for at first.
const CAPACITY_BYTES: usize = 4096;
/// Most containers of a definition (ECS's quota).
const MAX_CONTAINERS: usize = 10;

/// The volumes of a task, each under a name of its own, with what they stand for.
#[derive(Debug, Default)]
pub struct Volumes(Vec<(String, shapes::Volume)>);

impl Volumes {
    /// A folder or file of the host. Gives the volume's name.
    pub fn host(&mut self, path: &str) -> String {
        let name = Some(identifier(path)).filter(|name| !name.is_empty());
        let host = shapes::HostVolumeProperties { source_path: Some(path.to_owned()) };
        let volume = shapes::Volume { host: Some(host), ..Default::default() };
        self.add(path, name.as_deref().unwrap_or("root"), volume)
    }

    /// A volume that lives and ends with the task, for `path` of a container.
    pub fn scratch(&mut self, container: &str, path: &str) -> String {
        let host = Some(shapes::HostVolumeProperties::default());
        let name = identifier(&format!("{container}{path}"));
        let volume = shapes::Volume { host, ..Default::default() };
        self.add(&format!("{container} {path}"), &name, volume)
    }

    /// A volume of the instance that outlives tasks.
    pub fn docker(
        &mut self,
        name: &str,
        driver_opts: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
    ) -> String {
        let kept = |map: BTreeMap<String, String>| Some(map).filter(|map| !map.is_empty());
        let configuration = shapes::DockerVolumeConfiguration {
            scope: Some(shapes::Scope::Shared),
            autoprovision: Some(true),
            driver: Some("local".to_owned()),
            driver_opts: kept(driver_opts),
            labels: kept(labels),
        };
        let volume = shapes::Volume {
            docker_volume_configuration: Some(configuration),
            ..Default::default()
        };
        self.add(name, &identifier(name), volume)
    }

    /// The name of what stands for the same, or of a new volume.
    fn add(&mut self, stands_for: &str, name: &str, volume: shapes::Volume) -> String {
        let mut known = self.0.iter();
        if let Some((_, volume)) = known.find(|(known, _)| known == stands_for) {
            return volume.name.clone().unwrap_or_default();
        }
        let taken = |name: &str| self.0.iter().any(|(_, has)| has.name.as_deref() == Some(name));
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let name = names.find(|name| !taken(name)).unwrap_or_default();
        let volume = shapes::Volume { name: Some(name.clone()), ..volume };
        self.0.push((stands_for.to_owned(), volume));
        name
    }

    /// The volumes, unless there are none.
    pub fn finish(self) -> Option<Vec<shapes::Volume>> {
        super::draft::some(self.0.into_iter().map(|(_, volume)| volume).collect())
    }
}

/// A definition as the JSON that `aws ecs register-task-definition --cli-input-json` takes.
///
/// # Errors
/// If it breaks a constraint of the model, or has too many containers.
pub fn write(request: &shapes::RegisterTaskDefinitionRequest) -> Result<Json> {
    let count = request.container_definitions.len();
    if count > MAX_CONTAINERS {
        bail!(
            "{count} containers are too many: a task definition has at most {MAX_CONTAINERS}; \
             import some of them at a time with --service NAME"
        );
    }
    let mut writer = JsonWriter::with_capacity(CAPACITY_BYTES);
    request.write(&mut writer, shapes::RegisterTaskDefinitionRequest::SCHEMA);
    let text = writer.finish();
    read(&text)?;
    serde_json::from_slice(&text).context("the definition is no JSON")
}

/// Reads a definition, strictly.
///
/// # Errors
/// If it is no JSON of the model's shape, or breaks a constraint of the model.
pub fn read(text: &[u8]) -> Result<shapes::RegisterTaskDefinitionRequest> {
    let mut check = Check::strict();
    let mut request = None;
    let done = JsonReader::read_document(text, &mut check, &mut |reader| {
        let schema = shapes::RegisterTaskDefinitionRequest::SCHEMA;
        request = shapes::RegisterTaskDefinitionRequest::read(reader, schema)?;
        Ok(())
    });
    let violations = check.into_violations();
    if !violations.is_empty() {
        bail!("{}", describe(&violations));
    }
    if let Err(malformed) = done {
        bail!("{}", malformed.message);
    }
    request.context("the definition is null")
}
