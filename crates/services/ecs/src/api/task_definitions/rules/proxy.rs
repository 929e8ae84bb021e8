//! App Mesh's proxy (ECS semantics §3.4; botocore's `ProxyConfiguration`).

use shapes_ecs as shapes;

use super::task::{Task, items};
use crate::error::Error;
use crate::model::NetworkMode;

/// Properties that a proxy cannot do without, each with how ECS tells that it is missing. The
/// text of the ingress port was observed.
const REQUIRED: [(&str, &str); 3] = [
    ("ProxyIngressPort", "Ingress port not found"),
    ("ProxyEgressPort", "Egress port not found"),
    ("AppPorts", "App ports not found"),
];
/// All properties.
const PROPERTIES: [&str; 7] = [
    "IgnoredUID",
    "IgnoredGID",
    "AppPorts",
    "ProxyIngressPort",
    "ProxyEgressPort",
    "EgressIgnoredPorts",
    "EgressIgnoredIPs",
];

/// Checks the proxy.
pub(super) fn check(task: &Task<'_>) -> Result<(), Error> {
    let Some(proxy) = &task.request.proxy_configuration else { return Ok(()) };
    if task.network_mode != NetworkMode::Awsvpc {
        // Observed.
        let text = "APPMESH proxy configuration is only supported in networkMode=awsvpc";
        return Err(Error::client(text));
    }
    if !task.has_container(&proxy.container_name) {
        // Observed.
        let name = &proxy.container_name;
        return Err(Error::client(format!("Proxy container [{name}] does not exist.")));
    }
    let properties = items(&proxy.properties);
    let get = |name: &str| {
        let found = properties.iter().find(|pair| pair.name.as_deref() == Some(name));
        found.and_then(|pair| pair.value.as_deref()).filter(|value| !value.is_empty())
    };
    for (name, missing) in REQUIRED {
        let Some(value) = get(name) else { return Err(Error::client(missing)) };
        if !value.split(',').all(is_port) {
            return Err(Error::client(format!("Invalid value '{value}' for {name}")));
        }
    }
    if get("EgressIgnoredPorts").is_some_and(|value| !value.split(',').all(is_port)) {
        return Err(Error::client("Invalid value for EgressIgnoredPorts"));
    }
    if get("IgnoredUID").is_none() && get("IgnoredGID").is_none() {
        return Err(Error::client("At least one of IgnoredUID or IgnoredGID must be specified"));
    }
    unknown(properties)
}

fn unknown(properties: &[shapes::KeyValuePair]) -> Result<(), Error> {
    let name = |pair: &shapes::KeyValuePair| pair.name.clone().unwrap_or_default();
    let unknown = properties.iter().map(name).find(|name| !PROPERTIES.contains(&name.as_str()));
    match unknown {
        Some(name) => Err(Error::client(format!("Unknown proxy configuration property: {name}"))),
        None => Ok(()),
    }
}

fn is_port(text: &str) -> bool {
    text.trim().parse::<u16>().is_ok_and(|port| port > 0)
}
