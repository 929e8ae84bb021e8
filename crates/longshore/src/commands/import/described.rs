//! What `aws ecs describe-task-definition` prints.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json};
use shapes_ecs as shapes;
use wire::schema::{Kind, Schema};
use wire::value::Structure as _;

use super::compose::Wanted;
use super::definition;
use super::notes::Notes;

/// Members that a server writes; a request has none of them (API reference, `TaskDefinition`).
const READ_ONLY: [&str; 9] = [
    "compatibilities",
    "deleteRequestedAt",
    "deregisteredAt",
    "registeredAt",
    "registeredBy",
    "requiresAttributes",
    "revision",
    "status",
    "taskDefinitionArn",
];

/// Whether an object is a description, or the definition in it.
pub fn is_definition(map: &Map<String, Json>) -> bool {
    map.contains_key("taskDefinition") || map.contains_key("containerDefinitions")
}

/// Takes what a request may say.
///
/// # Errors
/// If it is no task definition: the error names the member.
pub fn import(
    mut outer: Map<String, Json>,
    wanted: &Wanted,
    notes: &Notes,
) -> Result<shapes::RegisterTaskDefinitionRequest> {
    let mut definition = match outer.remove("taskDefinition") {
        Some(Json::Object(mut definition)) => {
            // `--include TAGS` puts them beside the definition.
            if let Some(tags) = outer.remove("tags") {
                definition.entry("tags").or_insert(tags);
            }
            definition
        }
        Some(_) => bail!("taskDefinition: expected an object"),
        None => outer,
    };
    READ_ONLY.iter().for_each(|name| {
        definition.remove(*name);
    });
    if let Some(family) = &wanted.family {
        definition.insert("family".into(), family.as_str().into());
    }
    if definition.get("tags").and_then(Json::as_array).is_some_and(Vec::is_empty) {
        definition.remove("tags");
    }
    let mut definition = Json::Object(definition);
    keep_known(&mut definition, shapes::RegisterTaskDefinitionRequest::SCHEMA, "", notes);
    let text = serde_json::to_vec(&definition).context("the definition cannot be written")?;
    let mut request = definition::read(&text)?;
    if !wanted.services.is_empty() {
        choose(&mut request, &wanted.services)?;
    }
    remark(&request, notes);
    Ok(request)
}

/// Leaves the containers that were asked for.
fn choose(request: &mut shapes::RegisterTaskDefinitionRequest, names: &[String]) -> Result<()> {
    let containers = &mut request.container_definitions;
    let is = |one: &shapes::ContainerDefinition, name: &str| one.name.as_deref() == Some(name);
    if let Some(unknown) = names.iter().find(|name| !containers.iter().any(|one| is(one, name))) {
        bail!("there is no container '{unknown}' in the definition");
    }
    containers.retain(|one| names.iter().any(|name| is(one, name)));
    Ok(())
}

/// Removes members that the model does not know, each with a note; removes nulls.
fn keep_known(value: &mut Json, schema: &'static Schema, path: &str, notes: &Notes) {
    match (value, &schema.kind) {
        (Json::Object(map), Kind::Structure(members) | Kind::Union(members)) => {
            map.retain(|_, value| !value.is_null());
            let names: Vec<String> = map.keys().cloned().collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let member = members.iter().find(|member| member.name == name);
                match (member, map.get_mut(&name)) {
                    (Some(member), Some(value)) => keep_known(value, member.target, &path, notes),
                    _ => {
                        map.remove(&name);
                        notes.add(path, "not carried over: the API here does not know it");
                    }
                }
            }
        }
        (Json::Array(items), Kind::List(item)) => {
            for (index, value) in items.iter_mut().enumerate() {
                keep_known(value, item.target, &format!("{path}[{index}]"), notes);
            }
        }
        _ => {}
    }
}

/// Notes what lies in the account that the definition comes from.
fn remark(request: &shapes::RegisterTaskDefinitionRequest, notes: &Notes) {
    for (name, role) in
        [("taskRoleArn", &request.task_role_arn), ("executionRoleArn", &request.execution_role_arn)]
    {
        if let Some(role) = role {
            notes.add(
                name,
                format!("kept; make a role of that name here, or it opens nothing: {role}"),
            );
        }
    }
    let required = request.requires_compatibilities.as_deref().unwrap_or_default();
    let requires = |kind: &str| required.iter().any(|one| one.as_str() == kind);
    if requires("FARGATE") && !requires("EC2") {
        let what = "kept; add EC2 to it to run the task on container instances";
        notes.add("requiresCompatibilities", what);
    }
    for (index, volume) in request.volumes.iter().flatten().enumerate() {
        let kinds = [
            (volume.efs_volume_configuration.is_some(), "EFS"),
            (volume.fsx_windows_file_server_volume_configuration.is_some(), "FSx"),
            (volume.s3files_volume_configuration.is_some(), "S3"),
            (volume.configured_at_launch == Some(true), "EBS"),
        ];
        for (_, kind) in kinds.iter().filter(|(is, _)| *is) {
            let what = format!("kept, but its data stays behind: it is a volume of {kind}");
            notes.add(format!("volumes[{index}]"), what);
        }
    }
    for (index, one) in request.container_definitions.iter().enumerate() {
        container(one, &format!("containerDefinitions[{index}]"), notes);
    }
}

fn container(one: &shapes::ContainerDefinition, path: &str, notes: &Notes) {
    let image = one.image.as_deref().unwrap_or_default();
    if image.contains(".dkr.ecr.") {
        let what = format!("kept: pulling {image} needs credentials, or 'longshore image load'");
        notes.add(format!("{path}.image"), what);
    }
    let note = |member: &str, what: &str| notes.add(format!("{path}.{member}"), what);
    if one.secrets.as_ref().is_some_and(|list| !list.is_empty()) {
        note("secrets", "kept: the parameters and secrets they name are not brought along");
    }
    if one.environment_files.as_ref().is_some_and(|list| !list.is_empty()) {
        note("environmentFiles", "kept: they lie in S3, and must be reachable from instances");
    }
    if let Some(log) = &one.log_configuration
        && log.log_driver != shapes::LogDriver::JsonFile
    {
        let driver = log.log_driver.as_str();
        let what = format!("kept: an instance must have the log driver {driver}");
        note("logConfiguration", &what);
    }
    if one.repository_credentials.is_some() {
        note("repositoryCredentials", "kept: the secret it names is not brought along");
    }
}
