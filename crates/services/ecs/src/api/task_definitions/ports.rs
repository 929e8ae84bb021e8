//! Port mappings (ECS semantics §3.4).

use std::collections::{BTreeMap, BTreeSet};

use shapes_ecs as shapes;

use super::containers::wrong;
use crate::error::Error;
use crate::model::{ContainerSpec, NetworkMode, PortSpec, Protocol};

/// Most port ranges of a container.
const MAX_RANGES: usize = 100;
/// Most static host ports of a task: an instance's, with none reserved (ECS semantics §4).
const MAX_HOST_PORTS: usize = 100;

/// Checks a container's port mappings and gives the single ports.
pub(crate) fn check(
    one: &shapes::ContainerDefinition,
    name: &str,
    mode: NetworkMode,
) -> Result<Vec<PortSpec>, Error> {
    let mappings = one.port_mappings.as_deref().unwrap_or_default();
    if !mappings.is_empty() && mode == NetworkMode::None {
        return Err(wrong(name, "Port mappings are not supported when networkMode=none."));
    }
    let mut seen: BTreeMap<u16, Protocol> = BTreeMap::new();
    let (mut ports, mut ranges) = (Vec::new(), Vec::new());
    for mapping in mappings {
        let protocol = match mapping.protocol.map(|protocol| protocol.as_str()) {
            Some("udp") => Protocol::Udp,
            Some(_) | None => Protocol::Tcp,
        };
        mapping.name.as_deref().map_or(Ok(()), |text| check_name(text, name))?;
        if let Some(range) = &mapping.container_port_range {
            ranges.push(check_range(mapping, range, name)?);
            continue;
        }
        let spec = single(mapping, protocol, name, mode)?;
        if seen.insert(spec.container, protocol).is_some_and(|other| other != protocol) {
            let text = format!("Container port {} is mapped for two protocols.", spec.container);
            return Err(wrong(name, &text));
        }
        ports.push(spec);
    }
    check_ranges(&mut ranges, &ports, name)?;
    Ok(ports)
}

/// Two containers of a task must not publish the same port of the host.
pub(crate) fn check_together(specs: &[ContainerSpec]) -> Result<(), Error> {
    let mut taken = BTreeSet::new();
    for spec in specs {
        for port in &spec.ports {
            let Some(host) = port.host else { continue };
            if !taken.insert((host, port.protocol)) {
                let word = port.protocol.as_str();
                let text = format!("Host port {host}/{word} is mapped more than once.");
                return Err(wrong(&spec.name, &text));
            }
        }
    }
    if taken.len() > MAX_HOST_PORTS {
        return Err(Error::client(format!(
            "A task definition can have at most {MAX_HOST_PORTS} static host ports."
        )));
    }
    Ok(())
}

fn single(
    mapping: &shapes::PortMapping,
    protocol: Protocol,
    name: &str,
    mode: NetworkMode,
) -> Result<PortSpec, Error> {
    let port = |value: Option<i32>| value.map(u16::try_from).transpose();
    let container = port(mapping.container_port).ok().flatten().filter(|&port| port > 0);
    let container = container.ok_or_else(|| wrong(name, "'containerPort' must be 1 to 65535."))?;
    let host =
        port(mapping.host_port).map_err(|_| wrong(name, "'hostPort' must be 0 to 65535."))?;
    let host = host.filter(|&port| port > 0);
    let host = match mode {
        NetworkMode::Bridge | NetworkMode::None => host,
        NetworkMode::Host | NetworkMode::Awsvpc => {
            if host.is_some_and(|host| host != container) {
                return Err(Error::client(format!(
                    "When networkMode={}, the host ports and container ports in port mappings \
                     must match.",
                    mode.as_str()
                )));
            }
            // A task's own interface shares no port with the host.
            (mode == NetworkMode::Host).then_some(container)
        }
    };
    Ok(PortSpec { container, host, protocol })
}

fn check_name(text: &str, name: &str) -> Result<(), Error> {
    let good = (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    let told = "'name' of a port mapping may have up to 64 lower-case letters, digits, hyphens \
                and underscores, and must not begin with a hyphen.";
    good.then_some(()).ok_or_else(|| wrong(name, told))
}

fn check_range(
    mapping: &shapes::PortMapping,
    range: &str,
    name: &str,
) -> Result<(u16, u16), Error> {
    if mapping.container_port.is_some() || mapping.host_port.is_some() {
        let text = "'containerPortRange' excludes 'containerPort' and 'hostPort'.";
        return Err(wrong(name, text));
    }
    let ends = range.split_once('-');
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    ends.filter(|&(first, last): &(u16, u16)| 0 < first && first < last)
        .ok_or_else(|| wrong(name, "'containerPortRange' must be FIRST-LAST, from 1 to 65535."))
}

fn check_ranges(ranges: &mut [(u16, u16)], ports: &[PortSpec], name: &str) -> Result<(), Error> {
    if ranges.len() > MAX_RANGES {
        return Err(wrong(name, "At most 100 port ranges are allowed."));
    }
    ranges.sort_unstable();
    let overlap = ranges.windows(2).any(|pair| pair[1].0 <= pair[0].1);
    let inside = |port: &PortSpec| {
        ranges.iter().any(|&(first, last)| (first..=last).contains(&port.container))
    };
    if overlap || ports.iter().any(inside) {
        return Err(wrong(name, "Port ranges must not overlap."));
    }
    Ok(())
}
