//! Port mappings (ECS semantics §3.4).
//!
//! The API reference once said that a container's port can be mapped for one protocol alone. ECS
//! takes both, and gossip protocols such as Consul's need it.

use std::collections::BTreeSet;

use shapes_ecs as shapes;

use super::task::{Task, items, wrong};
use crate::error::Error;
use crate::model::{ContainerSpec, NetworkMode, PortSpec, Protocol};

/// Most port ranges of a container.
const MAX_RANGES: usize = 100;
/// Most static host ports of a task: an instance's, with none reserved (ECS semantics §4).
const MAX_HOST_PORTS: usize = 100;
/// Longest name of a mapping, in characters.
const MAX_NAME_CHARS: usize = 64;

/// Ports of a container, from first to last, both included.
#[derive(Clone, Copy)]
struct Span {
    first: u16,
    last: u16,
    protocol: Protocol,
    is_range: bool,
}

/// Checks a container's port mappings and gives the single ports.
pub(super) fn check(
    one: &shapes::ContainerDefinition,
    name: &str,
    mode: NetworkMode,
) -> Result<Vec<PortSpec>, Error> {
    let mappings = items(&one.port_mappings);
    if !mappings.is_empty() && mode == NetworkMode::None {
        return Err(Error::client("Port mappings are not supported when networkMode=none."));
    }
    let mut ports = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    for mapping in mappings {
        mapping.name.as_deref().map_or(Ok(()), |text| check_name(text, name))?;
        let span = span(mapping, name)?;
        if span.is_range && mode == NetworkMode::Host {
            let text = "containerPortRange is not supported when networkMode=host.";
            return Err(Error::client(text));
        }
        let clash = spans.iter().find_map(|other| {
            (span.is_range || other.is_range).then(|| shared(&span, other)).flatten()
        });
        if let Some(port) = clash {
            return Err(used_twice(span.protocol, port, mode));
        }
        spans.push(span);
        if !span.is_range {
            let host = host_port(mapping, span.first, name, mode)?;
            ports.push(PortSpec { container: span.first, host, protocol: span.protocol });
        }
    }
    if spans.iter().filter(|span| span.is_range).count() > MAX_RANGES {
        let text = format!("At most {MAX_RANGES} port ranges are allowed.");
        return Err(wrong(name, &text));
    }
    Ok(ports)
}

/// The rules that look at all containers.
pub(super) fn check_together(specs: &[ContainerSpec], task: &Task<'_>) -> Result<(), Error> {
    names_together(task)?;
    match task.network_mode {
        // The containers share one interface.
        NetworkMode::Awsvpc | NetworkMode::Host => spans_together(task),
        NetworkMode::Bridge | NetworkMode::None => Ok(()),
    }?;
    let mut taken = BTreeSet::new();
    for port in specs.iter().flat_map(|spec| &spec.ports) {
        let Some(host) = port.host else { continue };
        if !taken.insert((host, port.protocol)) {
            let protocol = port.protocol.as_str().to_ascii_uppercase();
            return Err(Error::client(format!(
                "{protocol} host port '{host}' is used multiple times in task."
            )));
        }
    }
    if taken.len() > MAX_HOST_PORTS {
        return Err(Error::client(format!(
            "A task definition can have at most {MAX_HOST_PORTS} static host ports."
        )));
    }
    Ok(())
}

fn mappings<'a>(task: &Task<'a>) -> impl Iterator<Item = &'a shapes::PortMapping> + use<'a> {
    task.containers().iter().flat_map(|one| items(&one.port_mappings))
}

/// Observed for awsvpc.
fn names_together(task: &Task<'_>) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    if mappings(task).filter_map(|mapping| mapping.name.as_deref()).all(|name| names.insert(name)) {
        return Ok(());
    }
    let mode = task.network_mode.as_str();
    Err(Error::client(format!("When networkMode={mode}, port mapping name is already used")))
}

fn spans_together(task: &Task<'_>) -> Result<(), Error> {
    let mut seen: Vec<Span> = Vec::new();
    for mapping in mappings(task) {
        let span = span(mapping, "")?;
        if let Some(port) = seen.iter().find_map(|other| shared(&span, other)) {
            return Err(used_twice(span.protocol, port, task.network_mode));
        }
        seen.push(span);
    }
    Ok(())
}

/// The first port that both have.
fn shared(one: &Span, other: &Span) -> Option<u16> {
    let first = one.first.max(other.first);
    (one.protocol == other.protocol && first <= one.last.min(other.last)).then_some(first)
}

/// Observed for ranges in awsvpc.
fn used_twice(protocol: Protocol, port: u16, mode: NetworkMode) -> Error {
    let protocol = protocol.as_str().to_ascii_uppercase();
    let mode = mode.as_str();
    Error::client(format!(
        "{protocol} container port '{port}' is used multiple times in task when \
         networkMode={mode}."
    ))
}

/// The ports that a mapping names. The texts of ranges were observed.
fn span(mapping: &shapes::PortMapping, name: &str) -> Result<Span, Error> {
    let protocol = match mapping.protocol {
        Some(shapes::TransportProtocol::Udp) => Protocol::Udp,
        Some(shapes::TransportProtocol::Tcp) | None => Protocol::Tcp,
    };
    let Some(range) = &mapping.container_port_range else {
        let port = mapping.container_port.and_then(|port| u16::try_from(port).ok());
        let port = port.filter(|&port| port > 0).ok_or_else(|| invalid("containerPort", name))?;
        return Ok(Span { first: port, last: port, protocol, is_range: false });
    };
    if mapping.container_port.is_some() || mapping.host_port.is_some() {
        return Err(Error::client(format!(
            "Invalid port mapping for container '{name}', cannot specify both single port and \
             port range."
        )));
    }
    let ends = range.split_once('-');
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let (first, last) = ends
        .filter(|&(first, last): &(u16, u16)| 0 < first && first < last)
        .ok_or_else(|| invalid("containerPortRange", name))?;
    Ok(Span { first, last, protocol, is_range: true })
}

/// Observed for `containerPortRange`.
fn invalid(member: &str, name: &str) -> Error {
    Error::client(format!("Invalid '{member}' setting for container '{name}'."))
}

/// The port of the host that a mapping of one port takes, if it is a certain one.
fn host_port(
    mapping: &shapes::PortMapping,
    container: u16,
    name: &str,
    mode: NetworkMode,
) -> Result<Option<u16>, Error> {
    let host = mapping.host_port.map(u16::try_from).transpose();
    let host = host.map_err(|_| invalid("hostPort", name))?.filter(|&port| port > 0);
    match mode {
        NetworkMode::Bridge | NetworkMode::None => Ok(host),
        NetworkMode::Host | NetworkMode::Awsvpc => {
            if host.is_some_and(|host| host != container) {
                // Observed.
                return Err(Error::client(format!(
                    "When networkMode={}, the host ports and container ports in port mappings \
                     must match.",
                    mode.as_str()
                )));
            }
            // A task's own interface shares no port with the host.
            Ok((mode == NetworkMode::Host).then_some(container))
        }
    }
}

fn check_name(text: &str, name: &str) -> Result<(), Error> {
    let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let good = (1..=MAX_NAME_CHARS).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(is_good);
    let told = "'name' of a port mapping may have up to 64 lower-case letters, digits, hyphens \
                and underscores, and must not begin with a hyphen.";
    good.then_some(()).ok_or_else(|| wrong(name, told))
}
