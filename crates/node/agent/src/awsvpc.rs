//! The interface that an awsvpc task brings with it: from the payload's object (agent-protocol §2.7)
//! to what the runtime is to make, and to what containers and metadata say of it.

use std::net::{IpAddr, Ipv4Addr};

use agent_protocol::task::{NetworkInterface, Task};
use runtime::containers::Dns;
use runtime::{Interface, TaskNetwork};

use crate::engine::{Failure, Place};

/// Whether the task's containers share an interface of its own.
pub fn is_awsvpc(task: &Task) -> bool {
    task.network_mode.as_deref() == Some("awsvpc")
}

/// The interface that the control plane gave the task.
///
/// # Errors
/// If the payload has none, or it is not a valid one.
pub fn interface(task: &Task) -> Result<Interface, Failure> {
    let wrong = |what: &str| {
        Failure::new("ResourceInitializationError", format!("the task's network interface: {what}"))
    };
    let found = object(task).ok_or_else(|| wrong("the payload has none"))?;
    let mac = mac(&found.mac_address).ok_or_else(|| wrong("its MAC address is not one"))?;
    let address = address(found).ok_or_else(|| wrong("it has no IPv4 address"))?;
    let gateway = gateway(&found.subnet_gateway_ipv4_address);
    let (gateway, prefix) =
        gateway.ok_or_else(|| wrong("its gateway is not of the form address/prefix"))?;
    Ok(Interface { id: found.ec2_id.clone(), mac, address, prefix, gateway })
}

/// The first interface: further ones are for others than containers.
fn object(task: &Task) -> Option<&NetworkInterface> {
    task.elastic_network_interfaces.iter().min_by_key(|interface| interface.index)
}

fn address(interface: &NetworkInterface) -> Option<Ipv4Addr> {
    let all = &interface.ipv4_addresses;
    let first = all.iter().find(|address| address.primary).or_else(|| all.first())?;
    first.private_address.parse().ok()
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = text.split(':').map(|part| u8::from_str_radix(part, 16).ok());
    let mut mac = [0; 6];
    for byte in &mut mac {
        *byte = bytes.next()??;
    }
    bytes.next().is_none().then_some(mac)
}

fn gateway(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| (1..=30).contains(prefix))?;
    Some((address.parse().ok()?, prefix))
}

/// The host name that the task's containers have: their interface's, as in Amazon's agent.
pub fn host_name(task: &Task, network: &TaskNetwork) -> String {
    let given = object(task).map(|interface| interface.private_dns_name.clone());
    given.filter(|name| !name.is_empty()).unwrap_or_else(|| private_name(network.interface.address))
}

/// `ip-10-0-1-7`: how EC2 names what has an address.
pub fn private_name(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}")
}

/// The name servers that its subnet names; the host's where it names none.
pub fn dns(task: &Task) -> Dns {
    let Some(interface) = object(task) else { return Dns::default() };
    let servers = interface.domain_name_servers.iter();
    Dns {
        servers: servers.filter_map(|text| text.parse::<IpAddr>().ok()).collect(),
        search: interface.domain_name.clone(),
    }
}

/// What the engine keeps of the task's network for each of its containers.
pub(crate) fn place(network: &TaskNetwork) -> Place {
    let Interface { address, mac, prefix, gateway, .. } = network.interface;
    Place { address, mac, prefix, gateway, bindings: Vec::new() }
}

/// What metadata shows of the interface, beyond the address (agent-protocol §6.3).
pub(crate) struct Shown {
    pub(crate) index: u32,
    pub(crate) mac: String,
    pub(crate) subnet: String,
    pub(crate) servers: Vec<String>,
    pub(crate) search: Vec<String>,
    pub(crate) dns_name: String,
    pub(crate) gateway: String,
}

/// The interface as metadata shows it.
pub(crate) fn shown(task: &Task) -> Option<Shown> {
    let found = object(task)?;
    let (gateway, prefix) = gateway(&found.subnet_gateway_ipv4_address)?;
    let mask = u32::MAX << (u32::BITS - u32::from(prefix));
    let network = Ipv4Addr::from(u32::from(gateway) & mask);
    Some(Shown {
        index: found.index,
        mac: found.mac_address.clone(),
        subnet: format!("{network}/{prefix}"),
        servers: found.domain_name_servers.clone(),
        search: found.domain_name.clone(),
        dns_name: found.private_dns_name.clone(),
        gateway: found.subnet_gateway_ipv4_address.clone(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use agent_protocol::task::{DesiredStatus, Ipv4Address};

    use super::*;

    fn task(change: impl FnOnce(&mut NetworkInterface)) -> Task {
        let arn =
            "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
        let mut interface = NetworkInterface {
            ec2_id: "eni-1".to_owned(),
            mac_address: "0a:58:0a:00:00:02".to_owned(),
            ipv4_addresses: vec![
                Ipv4Address { primary: false, private_address: "10.0.1.8".to_owned() },
                Ipv4Address { primary: true, private_address: "10.0.1.7".to_owned() },
            ],
            subnet_gateway_ipv4_address: "10.0.1.1/24".to_owned(),
            private_dns_name: "ip-10-0-1-7.ec2.internal".to_owned(),
            ..NetworkInterface::default()
        };
        change(&mut interface);
        Task {
            network_mode: Some("awsvpc".to_owned()),
            elastic_network_interfaces: vec![interface],
            ..Task::new(arn.parse().unwrap(), DesiredStatus::Running)
        }
    }

    #[test]
    fn interfaces_are_read() {
        let found = interface(&task(|_| {})).unwrap();
        let expected = Interface {
            id: "eni-1".to_owned(),
            mac: [0x0a, 0x58, 0x0a, 0, 0, 2],
            address: Ipv4Addr::new(10, 0, 1, 7),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, 1, 1),
        };
        assert_eq!(found, expected);
        assert_eq!(shown(&task(|_| {})).unwrap().subnet, "10.0.1.0/24");
    }

    #[test]
    fn bad_interfaces_are_named() {
        let check = |change: fn(&mut NetworkInterface), expected: &str| {
            let error = interface(&task(change)).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("ResourceInitializationError: the task's network interface: {expected}")
            );
        };
        check(|i| i.mac_address = "0a:58".to_owned(), "its MAC address is not one");
        check(|i| i.mac_address = "0a:58:0a:00:00:02:03".to_owned(), "its MAC address is not one");
        check(|i| i.ipv4_addresses.clear(), "it has no IPv4 address");
        let gateway = "its gateway is not of the form address/prefix";
        check(|i| i.subnet_gateway_ipv4_address = "10.0.1.1".to_owned(), gateway);
        check(|i| i.subnet_gateway_ipv4_address = "10.0.1.1/33".to_owned(), gateway);
        let bare = Task { elastic_network_interfaces: vec![], ..task(|_| {}) };
        assert!(interface(&bare).unwrap_err().to_string().ends_with("the payload has none"));
    }
}
