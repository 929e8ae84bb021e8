//! What `docker inspect` prints of containers.

mod storage;
mod value;

use anyhow::{Result, bail};
use serde_json::Value as Json;
use shapes_ecs as shapes;

use super::compose::Wanted;
use super::definition::Volumes;
use super::draft::{Draft, Health, Place, Port, some};
use super::notes::Notes;
use super::units::{self, identifier};
use value::At;

/// Nanoseconds of a second: Docker's durations count them.
const NANOS: f64 = 1e9;
/// Docker's size of `/dev/shm`, in bytes.
const SHM_BYTES: u64 = 64 * 1024 * 1024;

/// Reads containers.
///
/// # Errors
/// If an object is no container, or a member is not what Docker writes: the error names it.
pub fn import(
    items: &[Json],
    wanted: &Wanted,
    notes: &Notes,
) -> Result<shapes::RegisterTaskDefinitionRequest> {
    let mut all = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if item.get("HostConfig").is_none() || item.get("Config").is_none() {
            bail!(
                "[{index}] is no container: 'docker inspect' of containers has Config and \
                 HostConfig (for networks, volumes and images there is nothing to import)"
            );
        }
        let item = At::new(item, format!("[{index}]"), notes);
        let name = item.get("Name").text()?.unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        all.push((name.clone(), At::new(item.json, name, notes)));
    }
    if all.is_empty() {
        bail!("there is no container in the list");
    }
    if let Some(unknown) =
        wanted.services.iter().find(|name| all.iter().all(|(has, _)| has != *name))
    {
        bail!("there is no container '{unknown}' in the list");
    }
    all.retain(|(name, _)| wanted.services.is_empty() || wanted.services.contains(name));
    let mut volumes = Volumes::default();
    let mode = network_mode(&all, notes)?;
    let mut task =
        shapes::RegisterTaskDefinitionRequest { network_mode: Some(mode), ..Default::default() };
    all.iter().try_for_each(|(_, item)| namespaces(&mut task, item))?;
    for (name, item) in &all {
        let mut draft = container(name, item, &all, wanted.memory, &mut volumes)?;
        if mode != shapes::NetworkMode::Bridge {
            draft.out.links = None;
        }
        let container = draft.finish(Place { notes, path: name }, &task);
        task.container_definitions.push(container);
    }
    let first = all.first().map_or("", |(name, _)| name);
    task.family = wanted.family.clone().unwrap_or_else(|| super::family(first));
    task.volumes = volumes.finish();
    Ok(task)
}

fn container(
    name: &str,
    item: &At<'_>,
    all: &[(String, At<'_>)],
    memory: i32,
    volumes: &mut Volumes,
) -> Result<Draft> {
    let mut draft = Draft::default();
    draft.out.name = Some(identifier(name));
    draft.out.essential = Some(true);
    let (config, host) = (item.get("Config"), item.get("HostConfig"));
    self::config(&mut draft, &config, item)?;
    self::host(&mut draft, &host, all)?;
    resources(&mut draft, &host, memory)?;
    ports(&mut draft, &host.get("PortBindings"))?;
    storage::read(&mut draft, item, volumes)?;
    Ok(draft)
}

/// What is run.
fn config(draft: &mut Draft, config: &At<'_>, item: &At<'_>) -> Result<()> {
    let out = &mut draft.out;
    out.image = config.get("Image").filled()?;
    if out.image.is_none() {
        return Err(config.get("Image").wrong("an image's name"));
    }
    out.command = some(config.get("Cmd").texts()?);
    out.entry_point = some(config.get("Entrypoint").texts()?);
    out.user = config.get("User").filled()?;
    out.working_directory = config.get("WorkingDir").filled()?;
    out.docker_labels = Some(config.get("Labels").map()?).filter(|labels| !labels.is_empty());
    out.pseudo_terminal = config.get("Tty").flag()?.filter(|&flag| flag);
    out.interactive = config.get("OpenStdin").flag()?.filter(|&flag| flag);
    let id = item.get("Id").text()?.unwrap_or_default();
    let is_own = |name: &String| !id.starts_with(name.as_str());
    out.hostname = config.get("Hostname").filled()?.filter(is_own);
    let variables = config.get("Env").texts()?;
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    draft.environment(variables.iter().map(pair).collect());
    if let Some(seconds) = config.get("StopTimeout").number()? {
        draft.stop_timeout(config.get("StopTimeout").place(), seconds);
    }
    if config.get("StopSignal").filled()?.is_some_and(|signal| signal != "SIGTERM") {
        config.get("StopSignal").note("left out: ECS sends the image's STOPSIGNAL");
    }
    let check = config.get("Healthcheck");
    if check.is_there() {
        let seconds = |name: &str| -> Result<Option<f64>> {
            Ok(check.get(name).number()?.filter(|&nanos| nanos > 0.0).map(|nanos| nanos / NANOS))
        };
        let health = Health {
            command: check.get("Test").texts()?,
            interval: seconds("Interval")?,
            timeout: seconds("Timeout")?,
            start_period: seconds("StartPeriod")?,
            retries: check.get("Retries").number()?.filter(|&retries| retries > 0.0),
        };
        draft.health(check.place(), health);
    }
    config.note(
        "Docker does not tell apart what the image says and what the container was given: \
         command, entry point, environment, user and labels are written down as they were",
    );
    Ok(())
}

/// What the host gives.
fn host(draft: &mut Draft, host: &At<'_>, all: &[(String, At<'_>)]) -> Result<()> {
    let yes =
        |name: &str| -> Result<Option<bool>> { Ok(host.get(name).flag()?.filter(|&flag| flag)) };
    draft.out.privileged = yes("Privileged")?;
    draft.out.readonly_root_filesystem = yes("ReadonlyRootfs")?;
    draft.linux.init_process_enabled = yes("Init")?;
    draft.capabilities(host.get("CapAdd").place(), &host.get("CapAdd").texts()?, true);
    draft.capabilities(host.get("CapDrop").place(), &host.get("CapDrop").texts()?, false);
    draft.out.dns_servers = some(host.get("Dns").texts()?);
    draft.out.dns_search_domains = some(host.get("DnsSearch").texts()?);
    for entry in host.get("ExtraHosts").texts()? {
        let (name, address) = entry.split_once(':').unwrap_or((&entry, ""));
        draft.host_entry(host.get("ExtraHosts").place(), name, address);
    }
    for limit in host.get("Ulimits").items()? {
        let whole = |name: &str| -> Result<i64> {
            Ok(limit.get(name).number()?.unwrap_or_default() as i64)
        };
        let name = limit.get("Name").text()?.unwrap_or_default();
        draft.ulimit(limit.place(), &name, whole("Soft")?, whole("Hard")?);
    }
    for (name, value) in host.get("Sysctls").map()? {
        draft.system_control(host.get("Sysctls").place(), &name, &value);
    }
    for option in host.get("SecurityOpt").texts()? {
        draft.security_option(host.get("SecurityOpt").place(), &option);
    }
    for device in host.get("Devices").items()? {
        let text =
            |name: &str| Ok::<_, anyhow::Error>(device.get(name).text()?.unwrap_or_default());
        let (outside, inside) = (text("PathOnHost")?, text("PathInContainer")?);
        let permissions = text("CgroupPermissions")?;
        draft.device(device.place(), &format!("{outside}:{inside}:{permissions}"));
    }
    let policy = host.get("RestartPolicy");
    let attempts = policy.get("MaximumRetryCount").number()?.unwrap_or_default().to_string();
    let word = policy.get("Name").text()?.unwrap_or_default();
    draft.restart(policy.place(), &word, Some(&attempts));
    log(draft, &host.get("LogConfig"))?;
    links(draft, host, all)?;
    for left in ["DnsOptions", "GroupAdd", "UsernsMode", "CgroupParent", "PidsLimit", "CpusetCpus"]
    {
        let value = host.get(left);
        if value.says_something() {
            value.note("not carried over: a task definition has nothing like it");
        }
    }
    Ok(())
}

fn log(draft: &mut Draft, log: &At<'_>) -> Result<()> {
    let driver = log.get("Type").text()?.unwrap_or_default();
    let options = log.get("Config").map()?;
    if driver.is_empty() || (driver == "json-file" && options.is_empty()) {
        return Ok(());
    }
    draft.log(log.place(), &driver, options);
    Ok(())
}

/// `/db:/web/alias`.
fn links(draft: &mut Draft, host: &At<'_>, all: &[(String, At<'_>)]) -> Result<()> {
    let mut links = Vec::new();
    for link in host.get("Links").texts()? {
        let (target, alias) = link.split_once(':').unwrap_or((&link, &link));
        let target = target.trim_start_matches('/');
        let alias = alias.rsplit('/').next().unwrap_or_default();
        if all.iter().any(|(name, _)| name == target) {
            links.push(format!("{}:{alias}", identifier(target)));
        } else {
            host.get("Links").note(format!("left out: {target} is not among the containers"));
        }
    }
    draft.out.links = some(links);
    Ok(())
}

fn resources(draft: &mut Draft, host: &At<'_>, default: i32) -> Result<()> {
    let bytes = |name: &str| -> Result<Option<u64>> {
        Ok(host.get(name).number()?.filter(|&bytes| bytes > 0.0).map(|bytes| bytes as u64))
    };
    let mib = |name: &str| -> Result<Option<i32>> { Ok(bytes(name)?.map(units::mib)) };
    let memory = mib("Memory")?;
    draft.memory(host.place(), memory, mib("MemoryReservation")?, default);
    if let (Some(swap), Some(_)) = (mib("MemorySwap")?, memory) {
        draft.swap(host.get("MemorySwap").place(), swap.into(), draft.out.memory);
    }
    let swappiness = host.get("MemorySwappiness").number()?;
    draft.linux.swappiness =
        swappiness.filter(|percent| (0.0..=100.0).contains(percent)).map(|percent| percent as i32);
    draft.linux.shared_memory_size =
        bytes("ShmSize")?.filter(|&bytes| bytes != SHM_BYTES).map(units::mib);
    let limit = host.get("NanoCpus").number()?.unwrap_or_default() / NANOS;
    if limit > 0.0 {
        draft.cpus(limit);
        host.get("NanoCpus").note(
            "reserved, not a limit: ECS limits CPU for the task as a whole ('cpu' of the task)",
        );
    } else if let Some(shares) = host.get("CpuShares").number()?.filter(|&shares| shares > 0.0) {
        draft.out.cpu = Some(shares as i32);
    }
    for request in host.get("DeviceRequests").items()? {
        let count = request.get("Count").number()?.unwrap_or_default();
        draft.gpus(&if count < 1.0 { "ALL".to_owned() } else { format!("{count}") });
    }
    Ok(())
}

/// `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`.
fn ports(draft: &mut Draft, bindings: &At<'_>) -> Result<()> {
    for (name, bindings) in bindings.entries()? {
        let (port, protocol) = name.split_once('/').unwrap_or((&name, "tcp"));
        let Ok(container) = port.parse() else {
            return Err(bindings.wrong("a port and its protocol as name"));
        };
        if !matches!(protocol, "tcp" | "udp") {
            bindings.note(format!("left out: ECS publishes tcp and udp, not {protocol}"));
            continue;
        }
        for binding in bindings.items()? {
            let host = binding.get("HostPort").text()?.unwrap_or_default();
            let host = match host.as_str() {
                "" | "0" => None,
                text => Some(text.parse().map_err(|_| binding.get("HostPort").wrong("a port"))?),
            };
            let address = binding.get("HostIp").text()?.unwrap_or_default();
            if !matches!(address.as_str(), "" | "0.0.0.0" | "::") {
                binding.note(format!("published on all addresses, not on {address} alone"));
            }
            let port = Port { container, host, udp: protocol == "udp" };
            if !draft.ports.contains(&port) {
                draft.ports.push(port);
            }
        }
    }
    Ok(())
}

/// The network mode that all containers have, else bridge.
fn network_mode(all: &[(String, At<'_>)], notes: &Notes) -> Result<shapes::NetworkMode> {
    let mut words = Vec::new();
    for (name, item) in all {
        let word = item.get("HostConfig").get("NetworkMode").text()?.unwrap_or_default();
        words.push((name, word));
    }
    let same = |mode: &str| words.iter().all(|(_, word)| word == mode);
    let mode = match (same("host"), same("none")) {
        (true, _) => shapes::NetworkMode::Host,
        (_, true) => shapes::NetworkMode::None,
        _ => shapes::NetworkMode::Bridge,
    };
    for (name, word) in &words {
        if word != mode.as_str() && !matches!(word.as_str(), "" | "default" | "bridge") {
            let mode = mode.as_str();
            notes.add(
                format!("{name}.HostConfig.NetworkMode"),
                format!(
                    "the network {word} is not carried over: all containers of a task have one \
                     mode, here {mode}, where they reach each other along 'links' only"
                ),
            );
        }
    }
    Ok(mode)
}

/// The task's own share in the namespaces of the host.
fn namespaces(task: &mut shapes::RegisterTaskDefinitionRequest, item: &At<'_>) -> Result<()> {
    let host = item.get("HostConfig");
    match host.get("PidMode").filled()?.as_deref() {
        Some("host") => task.pid_mode = Some(shapes::PidMode::Host),
        Some(other) => host.get("PidMode").note(format!("'{other}' is left out")),
        None => {}
    }
    match host.get("IpcMode").filled()?.as_deref() {
        Some("host") => task.ipc_mode = Some(shapes::IpcMode::Host),
        Some("none") => task.ipc_mode = Some(shapes::IpcMode::None),
        Some("private" | "shareable") | None => {}
        Some(_) => task.ipc_mode = Some(shapes::IpcMode::Task),
    }
    Ok(())
}
