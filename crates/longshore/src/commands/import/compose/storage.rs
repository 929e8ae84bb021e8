//! Volumes, binds and tmpfs.

use std::path::Path;

use anyhow::Result;
use shapes_ecs as shapes;

use super::Project;
use super::field::Field;
use super::service::place;
use crate::commands::import::definition::Volumes;
use crate::commands::import::draft::Draft;
use crate::commands::import::units::identifier;

/// Options of a mount that change nothing here.
const SILENT_OPTIONS: [&str; 6] = ["rw", "z", "Z", "nocopy", "cached", "delegated"];

/// Reads one member, if it is about storage.
pub(super) fn read(
    draft: &mut Draft,
    key: &str,
    field: &Field<'_>,
    project: &Project<'_>,
    volumes: &mut Volumes,
) -> Result<bool> {
    match key {
        "volumes" => {
            for item in field.items()? {
                match item.is_map() {
                    true => long(draft, &item, project, volumes)?,
                    false => short(draft, &item, project, volumes)?,
                }
            }
        }
        "volumes_from" => {
            for item in field.items()? {
                volumes_from(draft, &item, project)?;
            }
        }
        "tmpfs" => {
            for text in field.texts()? {
                let (path, options) = text.split_once(':').unwrap_or((&text, ""));
                draft.tmpfs(place(field), path, options);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `[source:]target[:options]`.
fn short(
    draft: &mut Draft,
    item: &Field<'_>,
    project: &Project<'_>,
    volumes: &mut Volumes,
) -> Result<()> {
    let text = item.text()?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err(item.wrong(format!("'{text}' is not of the form source:target:options"))),
    };
    let options = options.split(',').filter(|option| !option.is_empty());
    let mut read_only = false;
    for option in options {
        match option {
            "ro" => read_only = true,
            _ if SILENT_OPTIONS.contains(&option) => {}
            _ => item.note(format!("the option '{option}' is left out")),
        }
    }
    let is_path = |source: &str| source.starts_with(['/', '.', '~']);
    let name = match source {
        None => volumes.scratch(container(draft), target),
        Some(source) if is_path(source) => volumes.host(&absolute(item, source, project)?),
        Some(source) => named(item, source, project, volumes)?,
    };
    mount(draft, item, name, target, read_only)
}

fn long(
    draft: &mut Draft,
    item: &Field<'_>,
    project: &Project<'_>,
    volumes: &mut Volumes,
) -> Result<()> {
    let text = |key: &str| item.get(key).map(|field| field.text()).transpose();
    let Some(kind) = text("type")? else { return Err(item.wrong("'type' is missing")) };
    let Some(target) = text("target")? else { return Err(item.wrong("'target' is missing")) };
    let read_only = item.get("read_only").map_or(Ok(false), |field| field.flag())?;
    let name = match (kind.as_str(), text("source")?) {
        ("volume", None) => volumes.scratch(container(draft), &target),
        ("volume", Some(source)) => named(item, &source, project, volumes)?,
        ("bind", Some(source)) => volumes.host(&absolute(item, &source, project)?),
        ("bind", None) => return Err(item.wrong("'source' is missing")),
        ("tmpfs", _) => {
            let options = item.get("tmpfs");
            let size = options.as_ref().and_then(|tmpfs| tmpfs.get("size"));
            let size = size.map(|size| size.text()).transpose()?;
            let options = size.map_or_else(String::new, |size| format!("size={size}"));
            draft.tmpfs(place(item), &target, &options);
            return Ok(());
        }
        (other, _) => {
            item.note(format!("left out: volumes of the type {other} are unknown to ECS"));
            return Ok(());
        }
    };
    if item.get("volume").is_some_and(|options| options.get("subpath").is_some()) {
        item.note("the whole volume is mounted, not its subpath");
    }
    mount(draft, item, name, &target, read_only)
}

fn container(draft: &Draft) -> &str {
    draft.out.name.as_deref().unwrap_or_default()
}

fn mount(
    draft: &mut Draft,
    item: &Field<'_>,
    name: String,
    target: &str,
    read_only: bool,
) -> Result<()> {
    if !target.starts_with('/') {
        return Err(item.wrong(format!("the target '{target}' must be an absolute path")));
    }
    draft.mount(name, target.to_owned(), read_only);
    Ok(())
}

/// A path of the host: relative ones begin in the file's folder.
fn absolute(item: &Field<'_>, source: &str, project: &Project<'_>) -> Result<String> {
    let surroundings = project.surroundings;
    let path = match (source.strip_prefix('~'), &surroundings.home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest.trim_start_matches('/')),
        (Some(_), None) => return Err(item.wrong("'~' stands for nothing: HOME is not set")),
        (None, _) => surroundings.folder.join(source),
    };
    if !source.starts_with('/') {
        item.note(format!(
            "{} of the container instance: what is there on this machine must be there too",
            tidy(&path)
        ));
    }
    Ok(tidy(&path))
}

/// A path without `.` and `..`.
fn tidy(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    format!("/{}", parts.join("/"))
}

/// A volume of the file: one of the instance, or a folder of the host that is called a volume.
fn named(
    item: &Field<'_>,
    name: &str,
    project: &Project<'_>,
    volumes: &mut Volumes,
) -> Result<String> {
    let Some(field) = project.volumes.get(name) else {
        return Err(item.wrong(format!("there is no volume '{name}' at the top of the file")));
    };
    let text = |key: &str| field.get(key).map(|one| one.text()).transpose();
    let called = text("name")?.unwrap_or_else(|| name.to_owned());
    let external = field.get("external").is_some_and(|external| external.flag().unwrap_or(true));
    if external {
        field.note("made if it is not there: what an outer volume holds is not brought along");
    }
    if let Some(driver) = text("driver")?.filter(|driver| driver != "local") {
        field.note(format!("its driver {driver} is left out: the volume is one of the instance's"));
    }
    let options = field.get("driver_opts").map_or(Ok(Default::default()), |one| one.labels())?;
    let option = |name: &str| options.get(name).map(String::as_str);
    let bind = option("o").is_some_and(|o| o.split(',').any(|o| matches!(o, "bind" | "rbind")));
    if let Some(device) = option("device").filter(|device| bind && device.starts_with('/')) {
        return Ok(volumes.host(device));
    }
    if !options.is_empty() {
        field.note(
            "its driver_opts are written down, but Longshore's own instances make a plain folder \
             of every local volume",
        );
    }
    let labels = field.get("labels").map_or(Ok(Default::default()), |one| one.labels())?;
    Ok(volumes.docker(&called, options, labels))
}

fn volumes_from(draft: &mut Draft, item: &Field<'_>, project: &Project<'_>) -> Result<()> {
    let text = item.text()?;
    let (name, mode) = text.split_once(':').unwrap_or((&text, "rw"));
    if !project.chosen.contains(name) {
        item.note(format!("left out: {name} is not among the imported services"));
        return Ok(());
    }
    let from = shapes::VolumeFrom {
        source_container: Some(identifier(name)),
        read_only: (mode == "ro").then_some(true),
    };
    draft.out.volumes_from.get_or_insert_default().push(from);
    Ok(())
}
