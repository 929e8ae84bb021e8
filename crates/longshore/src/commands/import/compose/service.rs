//! One service becomes one container.

use anyhow::Result;
use shapes_ecs as shapes;

use super::field::Field;
use super::{Project, Read, environment, kernel, ports, resources, storage};
use crate::commands::import::definition::Volumes;
use crate::commands::import::draft::{Draft, Health, Place, some};
use crate::commands::import::units::identifier;

/// Members that are read together with others, or that mean nothing to a task.
const SILENT: [&str; 17] = [
    "attach",
    "container_name",
    "cpus",
    "cpu_shares",
    "deploy",
    "depends_on",
    "env_file",
    "environment",
    "expose",
    "extends",
    "image",
    "links",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "profiles",
    "stdin_open",
];

/// The place of a field, for notes.
pub(super) fn place<'a>(field: &'a Field<'_>) -> Place<'a> {
    Place { notes: field.context.notes, path: &field.path }
}

/// Reads a service.
pub(super) fn read(
    name: &str,
    service: &Field<'_>,
    project: &Project<'_>,
    volumes: &mut Volumes,
) -> Result<Read> {
    let mut draft = Draft::default();
    let container = identifier(name);
    if container != name {
        service.note(format!("the container is called {container}: ECS takes no other signs"));
    }
    draft.out.image = Some(image(name, service, project)?);
    draft.out.name = Some(container);
    draft.out.essential = Some(true);
    let mut read = Read {
        draft,
        path: service.path.clone(),
        network_mode: None,
        pid_mode: None,
        ipc_mode: None,
        platform: None,
    };
    environment::read(&mut read.draft, service, project)?;
    resources::read(&mut read.draft, service, project.memory)?;
    super::dependencies::read(&mut read.draft, service, project)?;
    for (key, field) in service.entries()? {
        if field.is_null() || SILENT.contains(&&*key) || key.starts_with("x-") {
            continue;
        }
        let known = process(&mut read.draft, &key, &field)?
            || network(&mut read, &key, &field)?
            || kernel::read(&mut read.draft, &key, &field)?
            || storage::read(&mut read.draft, &key, &field, project, volumes)?;
        if !known {
            leave(&key, &field);
        }
    }
    Ok(read)
}

fn image(name: &str, service: &Field<'_>, project: &Project<'_>) -> Result<String> {
    let build = service.get("build");
    let image = match (service.get("image"), &build) {
        (Some(image), _) => image.text()?,
        // What `docker compose build` calls it.
        (None, Some(_)) => format!("{}-{name}", project.name),
        (None, None) => return Err(service.wrong("'image' is missing")),
    };
    if let Some(build) = build {
        build.note(format!(
            "nothing is built: build the image elsewhere and load it, as in docker compose build \
             {name} && docker save {image} -o {name}.tar && longshore image load {name}.tar"
        ));
    }
    Ok(image)
}

/// What is run, and how it is watched.
fn process(draft: &mut Draft, key: &str, field: &Field<'_>) -> Result<bool> {
    let out = &mut draft.out;
    match key {
        "command" => out.command = some(field.command()?),
        "entrypoint" => {
            out.entry_point = some(field.command()?);
            if out.entry_point.is_none() {
                field.note("an image's entry point cannot be taken away; it is used");
            }
        }
        "user" => out.user = Some(field.text()?),
        "working_dir" => out.working_directory = Some(field.text()?),
        "tty" => out.pseudo_terminal = field.flag()?.then_some(true),
        "labels" => out.docker_labels = Some(field.labels()?).filter(|labels| !labels.is_empty()),
        "read_only" => out.readonly_root_filesystem = field.flag()?.then_some(true),
        "privileged" => out.privileged = field.flag()?.then_some(true),
        "init" => draft.linux.init_process_enabled = field.flag()?.then_some(true),
        "stop_grace_period" => draft.stop_timeout(place(field), field.seconds()?),
        "healthcheck" => health(draft, field)?,
        "restart" => {
            let text = field.text()?;
            let (word, attempts) = match text.split_once(':') {
                Some((word, attempts)) => (word, Some(attempts)),
                None => (text.as_str(), None),
            };
            draft.restart(place(field), word, attempts);
        }
        "logging" => {
            let driver = field.get("driver").map_or(Ok("json-file".into()), |one| one.text())?;
            let options =
                field.get("options").map_or(Ok(Default::default()), |one| one.labels())?;
            draft.log(place(field), &driver, options);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn health(draft: &mut Draft, field: &Field<'_>) -> Result<()> {
    if field.get("disable").map_or(Ok(false), |disable| disable.flag())? {
        return Ok(());
    }
    let command = match field.get("test") {
        None => Vec::new(),
        Some(test) if test.is_list() => {
            let command = test.texts()?;
            if !matches!(command.first().map(String::as_str), Some("CMD" | "CMD-SHELL" | "NONE")) {
                return Err(test.wrong("the first item must be CMD, CMD-SHELL or NONE"));
            }
            command
        }
        Some(test) => vec!["CMD-SHELL".into(), test.text()?],
    };
    if let Some(left) = field.get("start_interval") {
        left.note("left out: ECS checks at one interval");
    }
    let seconds = |key: &str| field.get(key).map(|one| one.seconds()).transpose();
    let health = Health {
        command,
        interval: seconds("interval")?,
        timeout: seconds("timeout")?,
        start_period: seconds("start_period")?,
        retries: field.get("retries").map(|one| one.number()).transpose()?,
    };
    draft.health(place(field), health);
    Ok(())
}

fn network(read: &mut Read, key: &str, field: &Field<'_>) -> Result<bool> {
    let draft = &mut read.draft;
    match key {
        "ports" => ports::read(draft, field)?,
        "network_mode" => read.network_mode = Some(field.text()?),
        "pid" => read.pid_mode = Some(field.text()?),
        "ipc" => read.ipc_mode = Some(field.text()?),
        "platform" => read.platform = Some(field.text()?),
        "hostname" => draft.out.hostname = Some(field.text()?),
        "dns" => draft.out.dns_servers = some(field.texts()?),
        "dns_search" => draft.out.dns_search_domains = some(field.texts()?),
        "extra_hosts" if field.is_list() => {
            for item in field.items()? {
                let text = item.text()?;
                let Some((name, address)) = text.split_once(['=', ':']) else {
                    return Err(item.wrong(format!("expected name:address, found '{text}'")));
                };
                draft.host_entry(place(&item), name, address);
            }
        }
        "extra_hosts" => {
            for (name, entry) in field.entries()? {
                for address in entry.texts()? {
                    draft.host_entry(place(&entry), &name, &address);
                }
            }
        }
        "networks" => networks(field)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn networks(field: &Field<'_>) -> Result<()> {
    if field.is_list() {
        let names = field.texts()?;
        if names != ["default"] {
            field.note(format!(
                "not carried over ({}): the task's network mode connects its containers",
                names.join(", ")
            ));
        }
        return Ok(());
    }
    for (name, network) in field.entries()? {
        if network.is_null() {
            network.note("not carried over: the task's network mode connects its containers");
            continue;
        }
        let settings: Vec<String> = network.entries()?.into_iter().map(|(key, _)| key).collect();
        let settings = settings.join(", ");
        network.note(format!("the network {name} and its {settings} are not carried over"));
    }
    Ok(())
}

/// Notes what has no counterpart.
fn leave(key: &str, field: &Field<'_>) {
    let why = match key {
        "build" => return,
        "secrets" | "configs" => {
            "not carried over: ECS takes secrets from SSM parameters or Secrets Manager \
             (containerDefinitions[].secrets)"
        }
        "scale" => "not carried over: a number of tasks belongs to a service (desiredCount)",
        "external_links" => "not carried over: tasks cannot link to other tasks",
        "stop_signal" => "not carried over: ECS sends the image's STOPSIGNAL, else SIGTERM",
        "pull_policy" => "not carried over: that is a setting of the container instance",
        "develop" => return,
        "annotations"
        | "blkio_config"
        | "cgroup"
        | "cgroup_parent"
        | "cpu_count"
        | "cpu_percent"
        | "cpu_period"
        | "cpu_quota"
        | "cpu_rt_period"
        | "cpu_rt_runtime"
        | "cpuset"
        | "credential_spec"
        | "device_cgroup_rules"
        | "dns_opt"
        | "domainname"
        | "gpus"
        | "group_add"
        | "isolation"
        | "label_file"
        | "mac_address"
        | "models"
        | "oom_kill_disable"
        | "oom_score_adj"
        | "pids_limit"
        | "post_start"
        | "pre_stop"
        | "provider"
        | "runtime"
        | "storage_opt"
        | "use_api_socket"
        | "userns_mode"
        | "uts" => "not carried over: a task definition has nothing like it",
        _ => "not carried over: unknown to Compose",
    };
    field.note(why);
}

/// The condition on a dependency, for [`super::dependencies`].
pub(super) fn condition(word: &str) -> Option<shapes::ContainerCondition> {
    match word {
        "service_started" => Some(shapes::ContainerCondition::Start),
        "service_healthy" => Some(shapes::ContainerCondition::Healthy),
        "service_completed_successfully" => Some(shapes::ContainerCondition::Success),
        _ => None,
    }
}
