//! Memory, CPU, devices: the old members of a service and those below `deploy`.

use anyhow::Result;

use super::field::Field;
use super::service::place;
use crate::commands::import::draft::Draft;

/// Reads them. `default` is the memory, in MiB, of a service that names none.
pub(super) fn read(draft: &mut Draft, service: &Field<'_>, default: i32) -> Result<()> {
    let deploy = service.get("deploy");
    let resources = deploy.as_ref().and_then(|deploy| deploy.get("resources"));
    let resource = |kind: &str, name: &str| resources.as_ref()?.get(kind)?.get(name);
    let mib = |field: Option<Field<'_>>| field.map(|field| field.mib()).transpose();
    let limit = mib(resource("limits", "memory").or_else(|| service.get("mem_limit")))?;
    let reservation = resource("reservations", "memory");
    let reservation = mib(reservation.or_else(|| service.get("mem_reservation")))?;
    draft.memory(place(service), limit, reservation, default);
    cpus(draft, service, resource("limits", "cpus"), resource("reservations", "cpus"))?;
    if let Some(swap) = service.get("memswap_limit") {
        match swap.text()?.as_str() {
            "-1" | "0" => {}
            _ => draft.swap(place(&swap), swap.mib()?.into(), draft.out.memory),
        }
    }
    if let Some(devices) = resource("reservations", "devices") {
        self::devices(draft, &devices)?;
    }
    draft.out.interactive = match service.get("stdin_open") {
        Some(field) => field.flag()?.then_some(true),
        None => None,
    };
    if let Some(name) = service.get("container_name") {
        name.note("not carried over: containers are called after their service");
    }
    deploy.map_or(Ok(()), |deploy| self::deploy(draft, service, &deploy))
}

fn cpus(
    draft: &mut Draft,
    service: &Field<'_>,
    limit: Option<Field<'_>>,
    reservation: Option<Field<'_>>,
) -> Result<()> {
    let limit = limit.or_else(|| service.get("cpus"));
    if let Some(reservation) = reservation {
        draft.cpus(reservation.number()?);
        if let Some(limit) = limit {
            limit.note("left out: ECS limits CPU for the task as a whole ('cpu' of the task)");
        }
    } else if let Some(limit) = limit {
        draft.cpus(limit.number()?);
        limit.note(
            "reserved, not a limit: ECS limits CPU for the task as a whole ('cpu' of the task)",
        );
    } else if let Some(shares) = service.get("cpu_shares") {
        draft.out.cpu = Some(shares.whole()?.max(0));
    }
    Ok(())
}

/// GPUs; nothing else can be reserved.
fn devices(draft: &mut Draft, devices: &Field<'_>) -> Result<()> {
    for device in devices.items()? {
        let capabilities = device.get("capabilities");
        let capabilities = capabilities.map_or(Ok(Vec::new()), |field| field.texts())?;
        if !capabilities.iter().any(|one| one == "gpu" || one == "nvidia") {
            device.note("left out: a task can reserve GPUs only");
            continue;
        }
        let count = match (device.get("count"), device.get("device_ids")) {
            (Some(count), _) => count.text()?,
            (None, Some(ids)) => {
                ids.note("their number is reserved, not these ones");
                ids.texts()?.len().to_string()
            }
            (None, None) => "all".into(),
        };
        draft.gpus(&if count == "all" { "ALL".to_owned() } else { count });
    }
    Ok(())
}

fn deploy(draft: &mut Draft, service: &Field<'_>, deploy: &Field<'_>) -> Result<()> {
    for (key, field) in deploy.entries()? {
        if field.is_null() {
            continue;
        }
        match key.as_str() {
            "resources" => {}
            // A container's own word goes before it.
            "restart_policy" if service.get("restart").is_some() => {}
            "restart_policy" => {
                let word = field.get("condition").map_or(Ok("any".into()), |one| one.text())?;
                let attempts = field.get("max_attempts").map(|one| one.text()).transpose()?;
                draft.restart(place(&field), &word, attempts.as_deref());
                for left in ["delay", "window"] {
                    if let Some(left) = field.get(left) {
                        left.note("left out: ECS's restartAttemptPeriod is the only wait");
                    }
                }
            }
            "replicas" | "mode" => {
                field.note("not carried over: the number of tasks belongs to a service");
            }
            "update_config" | "rollback_config" => {
                field.note("not carried over: it belongs to a service (deploymentConfiguration)");
            }
            "placement" => {
                field.note("not carried over: see placementConstraints and placementStrategy");
            }
            _ => field.note("not carried over"),
        }
    }
    Ok(())
}
