//! Permissions: what rules let through, as requests write it and as answers show it.

use shapes_ec2 as shapes;

use crate::error::Error;
use crate::model::{ALL, Peers, Rule, Traffic};
use crate::tables::Scope;

/// Protocols that have names; numbers of others stay numbers (API reference, `IpPermission`).
const NAMED: [(&str, &str); 4] = [("1", "icmp"), ("6", "tcp"), ("17", "udp"), ("58", "icmpv6")];

/// A rule that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) traffic: Traffic,
    pub(super) description: Option<String>,
}

/// Finds the id of a group that a pair names.
pub(super) type GroupId<'a> = &'a dyn Fn(&shapes::UserIdGroupPair) -> Result<String, Error>;

/// The rules that permissions stand for: one for each block and group.
///
/// # Errors
/// For protocols, ports and blocks that are none, and for what is not built.
pub(super) fn read(
    permissions: &[shapes::IpPermission],
    is_egress: bool,
    operation: &'static str,
    group_id: GroupId<'_>,
) -> Result<Vec<Asked>, Error> {
    let mut asked = Vec::new();
    for permission in permissions {
        if permission.prefix_list_ids.as_ref().is_some_and(|lists| !lists.is_empty()) {
            return Err(Error::NotBuilt { operation, what: "prefix lists" });
        }
        let protocol = protocol(permission.ip_protocol.as_deref())?;
        let ports = ports(&protocol, permission.from_port, permission.to_port)?;
        let mut add = |peers: Peers, description: &Option<String>| {
            let protocol = protocol.clone();
            let traffic = Traffic { is_egress, protocol, ports, peers };
            asked.push(Asked { traffic, description: description.clone() });
        };
        for range in permission.ip_ranges.iter().flatten() {
            add(Peers::Cidr(block(range.cidr_ip.as_deref())?), &range.description);
        }
        for range in permission.ipv6_ranges.iter().flatten() {
            add(Peers::Cidr6(block6(range.cidr_ipv6.as_deref())?), &range.description);
        }
        for pair in permission.user_id_group_pairs.iter().flatten() {
            add(Peers::Group(group_id(pair)?), &pair.description);
        }
    }
    Ok(asked)
}

fn protocol(said: Option<&str>) -> Result<String, Error> {
    let said = said.ok_or(Error::Missing("ipProtocol"))?.to_ascii_lowercase();
    let said = if said == "all" { ALL.to_owned() } else { said };
    let named = NAMED.iter().find(|(number, name)| *number == said || *name == said);
    match named {
        Some((_, name)) => Ok((*name).to_owned()),
        None if said == ALL || said.parse::<u8>().is_ok() => Ok(said),
        None => {
            Err(Error::Value(format!("Invalid value '{said}' for IP protocol. Unknown protocol.")))
        }
    }
}

fn ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<Option<(i32, i32)>, Error> {
    let wrong = |what: &str, why: &str| {
        Err(Error::Value(format!("Invalid value '{what}' for portRange. {why}")))
    };
    match (protocol, from, to) {
        ("tcp" | "udp", Some(from), Some(to)) => {
            let is_port = |port: i32| (0..=65_535).contains(&port);
            if (from, to) == (-1, -1) {
                return Ok(Some((0, 65_535)));
            }
            if let Some(port) = [from, to].into_iter().find(|port| !is_port(*port)) {
                return wrong(&port.to_string(), "Ports are 0 to 65535.");
            }
            if from > to {
                let text = "The from port must not be greater than the to port.";
                return wrong(&format!("{from}-{to}"), text);
            }
            Ok(Some((from, to)))
        }
        ("tcp" | "udp", ..) => {
            let text =
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
            Err(Error::Value(text.to_owned()))
        }
        ("icmp" | "icmpv6", from, to) => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            let is_one = |number: i32| (-1..=255).contains(&number);
            match is_one(kind) && is_one(code) {
                true => Ok(Some((kind, code))),
                false => wrong(&format!("{kind}-{code}"), "Types and codes are -1 to 255."),
            }
        }
        // Ports have no meaning then.
        _ => Ok(None),
    }
}

fn block(said: Option<&str>) -> Result<String, Error> {
    let said = said.ok_or(Error::Missing("cidrIp"))?;
    let cidr = said.parse::<crate::model::Cidr>().ok();
    cidr.map(|cidr| cidr.to_string()).ok_or_else(|| malformed(said))
}

fn block6(said: Option<&str>) -> Result<String, Error> {
    let said = said.ok_or(Error::Missing("cidrIpv6"))?;
    let (address, prefix) = said.split_once('/').ok_or_else(|| malformed(said))?;
    let address: std::net::Ipv6Addr = address.parse().map_err(|_| malformed(said))?;
    let prefix: u32 = prefix.parse().ok().filter(|p| *p <= 128).ok_or_else(|| malformed(said))?;
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    let base = std::net::Ipv6Addr::from(u128::from(address) & mask);
    Ok(format!("{base}/{prefix}"))
}

fn malformed(said: &str) -> Error {
    Error::Value(format!("CIDR block {said} is malformed"))
}

/// A rule as the refusal of a second one names it.
pub(super) fn in_words(traffic: &Traffic) -> String {
    let peer = match &traffic.peers {
        Peers::Cidr(block) | Peers::Cidr6(block) => block,
        Peers::Group(id) => id,
    };
    let what = match (traffic.protocol.as_str(), traffic.ports) {
        (ALL, _) => "ALL".to_owned(),
        (protocol, None) => protocol.to_uppercase(),
        (protocol, Some((from, to))) => {
            format!("{}, from port: {from}, to port: {to}", protocol.to_uppercase())
        }
    };
    format!("peer: {peer}, {what}, ALLOW")
}

/// Rules as permissions: those of the same protocol and ports together, in the order of the first.
pub(super) fn show<'a>(
    scope: &Scope,
    rules: impl Iterator<Item = &'a Rule>,
) -> Vec<shapes::IpPermission> {
    let mut shown: Vec<shapes::IpPermission> = Vec::new();
    for Rule { traffic, description, .. } in rules {
        let (from, to) = traffic.ports.unzip();
        let is_same = |one: &shapes::IpPermission| {
            one.ip_protocol.as_ref() == Some(&traffic.protocol)
                && (one.from_port, one.to_port) == (from, to)
        };
        let at = shown.iter().position(is_same).unwrap_or_else(|| {
            shown.push(shapes::IpPermission {
                from_port: from,
                ip_protocol: Some(traffic.protocol.clone()),
                ip_ranges: Some(Vec::new()),
                ipv6_ranges: Some(Vec::new()),
                prefix_list_ids: Some(Vec::new()),
                to_port: to,
                user_id_group_pairs: Some(Vec::new()),
            });
            shown.len() - 1
        });
        let (one, description) = (&mut shown[at], description.clone());
        match traffic.peers.clone() {
            Peers::Cidr(cidr) => one
                .ip_ranges
                .get_or_insert_default()
                .push(shapes::IpRange { cidr_ip: Some(cidr), description }),
            Peers::Cidr6(cidr) => one
                .ipv6_ranges
                .get_or_insert_default()
                .push(shapes::Ipv6Range { cidr_ipv6: Some(cidr), description }),
            Peers::Group(id) => {
                one.user_id_group_pairs.get_or_insert_default().push(shapes::UserIdGroupPair {
                    description,
                    group_id: Some(id),
                    user_id: Some(scope.account.to_string()),
                    ..Default::default()
                });
            }
        }
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn permission(
        protocol: &str,
        from: Option<i32>,
        to: Option<i32>,
        block: &str,
    ) -> shapes::IpPermission {
        let range = shapes::IpRange { cidr_ip: Some(block.to_owned()), description: None };
        shapes::IpPermission {
            ip_protocol: Some(protocol.to_owned()),
            from_port: from,
            to_port: to,
            ip_ranges: Some(vec![range]),
            ..Default::default()
        }
    }

    fn words(permission: shapes::IpPermission) -> String {
        let nobody = |_: &shapes::UserIdGroupPair| Err(Error::RuleMissing);
        match read(&[permission], false, "Test", &nobody) {
            Ok(asked) => in_words(&asked[0].traffic),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn permissions_are_read_as_ec2_means_them() {
        for (asked, expected) in [
            (
                permission("tcp", Some(80), Some(81), "10.1.2.3/8"),
                "peer: 10.0.0.0/8, TCP, from port: 80, to port: 81, ALLOW",
            ),
            (
                permission("17", Some(-1), Some(-1), "0.0.0.0/0"),
                "peer: 0.0.0.0/0, UDP, from port: 0, to port: 65535, ALLOW",
            ),
            (permission("-1", Some(1), Some(2), "10.0.0.1/32"), "peer: 10.0.0.1/32, ALL, ALLOW"),
            (
                permission("icmp", Some(8), None, "10.0.0.1/32"),
                "peer: 10.0.0.1/32, ICMP, from port: 8, to port: -1, ALLOW",
            ),
            (permission("50", None, None, "10.0.0.1/32"), "peer: 10.0.0.1/32, 50, ALLOW"),
            (
                permission("tcp", Some(80), None, "10.0.0.1/32"),
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
            ),
            (
                permission("tcp", Some(81), Some(80), "10.0.0.1/32"),
                "Invalid value '81-80' for portRange. The from port must not be greater than the to port.",
            ),
            (
                permission("tcp", Some(80), Some(70_000), "10.0.0.1/32"),
                "Invalid value '70000' for portRange. Ports are 0 to 65535.",
            ),
            (
                permission("xyz", None, None, "10.0.0.1/32"),
                "Invalid value 'xyz' for IP protocol. Unknown protocol.",
            ),
            (permission("tcp", Some(1), Some(1), "10.0.0.1"), "CIDR block 10.0.0.1 is malformed"),
        ] {
            assert_eq!(words(asked), expected);
        }
        assert_eq!(block6(Some("2001:db8::1/32")).unwrap(), "2001:db8::/32");
        assert_eq!(block6(Some("::1/0")).unwrap(), "::/0");
        assert!(block6(Some("::1/129")).is_err() && block6(Some("::1")).is_err());
    }
}
