//! Resources of instances: as registered, and what is left of them.

use std::collections::BTreeSet;

use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib};

use crate::decide::room::Remaining;
use crate::error::Error;
use crate::model::{Capacity, ContainerInstance};

/// The resource that GPUs are shown as; its values are their ids.
const GPU: &str = "GPU";

/// `totalResources` as registered, and with the GPUs among the devices that agents tell of beside
/// them.
pub(super) fn with_gpus(
    mut resources: Vec<shapes::Resource>,
    devices: &[shapes::PlatformDevice],
) -> Vec<shapes::Resource> {
    let ids = devices.iter().filter(|one| one.type_ == shapes::PlatformDeviceType::Gpu);
    let ids: Vec<String> = ids.map(|device| device.id.clone()).collect();
    let is_known = resources.iter().any(|resource| resource.name.as_deref() == Some(GPU));
    if !ids.is_empty() && !is_known {
        resources.push(shapes::Resource {
            name: Some(GPU.to_owned()),
            type_: Some("STRINGSET".to_owned()),
            string_set_value: Some(ids),
            ..Default::default()
        });
    }
    resources
}

/// Reads `totalResources`; kinds that are not known are kept for show and mean nothing.
pub(super) fn capacity(resources: &[shapes::Resource]) -> Result<Capacity, Error> {
    let mut capacity = Capacity::default();
    for resource in resources {
        match resource.name.as_deref().unwrap_or("") {
            "CPU" => capacity.cpu = CpuUnits::new(integer(resource)?),
            "MEMORY" => capacity.memory = MemoryMib::new(integer(resource)?),
            "PORTS" => capacity.reserved_tcp = ports(resource)?,
            "PORTS_UDP" => capacity.reserved_udp = ports(resource)?,
            GPU => capacity.gpus = resource.string_set_value.iter().flatten().cloned().collect(),
            _ => {}
        }
    }
    Ok(capacity)
}

fn integer(resource: &shapes::Resource) -> Result<u32, Error> {
    let name = resource.name.as_deref().unwrap_or("");
    let value = resource.integer_value.unwrap_or(0);
    u32::try_from(value)
        .map_err(|_| Error::invalid(format!("Resource {name} must not be negative: {value}.")))
}

fn ports(resource: &shapes::Resource) -> Result<BTreeSet<u16>, Error> {
    let name = resource.name.as_deref().unwrap_or("");
    let port = |text: &String| {
        text.parse().map_err(|_| Error::invalid(format!("Resource {name}: '{text}' is no port.")))
    };
    resource.string_set_value.iter().flatten().map(port).collect()
}

/// `registeredResources`.
pub(super) fn registered(row: &ContainerInstance) -> Vec<shapes::Resource> {
    row.registered.iter().map(|one| whole((**one).clone())).collect()
}

/// `remainingResources`: the kinds that were registered, with what is left of each. Of ports, those
/// that are taken are shown.
pub(super) fn remaining(row: &ContainerInstance, left: &Remaining) -> Vec<shapes::Resource> {
    let texts = |ports: &BTreeSet<u16>| Some(ports.iter().map(ToString::to_string).collect());
    let number = |amount: u32| i32::try_from(amount).ok();
    let show = |registered: &shapes::Resource| {
        let mut resource = registered.clone();
        match resource.name.as_deref().unwrap_or("") {
            "CPU" => resource.integer_value = number(left.cpu),
            "MEMORY" => resource.integer_value = number(left.memory),
            "PORTS" => resource.string_set_value = texts(&left.tcp),
            "PORTS_UDP" => resource.string_set_value = texts(&left.udp),
            GPU => resource.string_set_value = Some(left.gpus.iter().cloned().collect()),
            _ => {}
        }
        whole(resource)
    };
    row.registered.iter().map(|registered| show(registered)).collect()
}

/// A resource as ECS shows it: with all its numbers, zero if it has none.
fn whole(resource: shapes::Resource) -> shapes::Resource {
    shapes::Resource {
        double_value: resource.double_value.or(Some(0.0)),
        integer_value: resource.integer_value.or(Some(0)),
        long_value: resource.long_value.or(Some(0)),
        ..resource
    }
}
