//! Members of a container that a network mode does not have.

use shapes_ecs as shapes;

use super::task::{Task, items, wrong};
use crate::error::Error;
use crate::model::NetworkMode;

/// Checks links, names, hosts and DNS of a container.
pub(super) fn check(
    one: &shapes::ContainerDefinition,
    name: &str,
    task: &Task<'_>,
) -> Result<(), Error> {
    let mode = task.network_mode;
    links(one, name, task)?;
    if mode == NetworkMode::Awsvpc {
        awsvpc(one)?;
    }
    for host in items(&one.extra_hosts) {
        if host.hostname.is_empty() || host.ip_address.is_empty() {
            return Err(wrong(name, "An extra host needs both 'hostname' and 'ipAddress'."));
        }
    }
    if items(&one.dns_servers).iter().chain(items(&one.dns_search_domains)).any(String::is_empty) {
        return Err(wrong(name, "DNS servers and search domains should not be empty."));
    }
    Ok(())
}

/// All texts but the one of search domains were observed.
fn awsvpc(one: &shapes::ContainerDefinition) -> Result<(), Error> {
    let refused = [
        (one.hostname.as_deref().is_some_and(|name| !name.is_empty()), "hostname is"),
        (!items(&one.extra_hosts).is_empty(), "Extra hosts are"),
        (!items(&one.dns_servers).is_empty(), "DNS servers are"),
        (!items(&one.dns_search_domains).is_empty(), "DNS search domains are"),
        (one.disable_networking == Some(true), "Disable Networking is"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(Error::client(format!(
            "{what} not supported on container when networkMode=awsvpc."
        ))),
        None => Ok(()),
    }
}

fn links(one: &shapes::ContainerDefinition, name: &str, task: &Task<'_>) -> Result<(), Error> {
    let links = items(&one.links);
    if !links.is_empty() && task.network_mode != NetworkMode::Bridge {
        // Observed.
        let mode = task.network_mode.as_str();
        return Err(Error::client(format!("Links are not supported when networkMode={mode}.")));
    }
    for link in links {
        let target = link.split(':').next().unwrap_or("");
        if target == name || !task.has_container(target) {
            return Err(Error::client(format!(
                "Invalid 'links' setting. Unknown container: '{target}'."
            )));
        }
    }
    Ok(())
}
