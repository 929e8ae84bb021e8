//! The network interface of an awsvpc task (agent-protocol §2.7).

use agent_protocol::task::{Ipv4Address, NetworkInterface};
use terms::TaskArn;

use crate::model::TaskNetwork;

/// The interface as the agent gets it. Name servers and search domains are left out, so that the
/// task resolves names as its instance does: nobody answers at the VPC's own address for it.
pub(super) fn interface(task: &TaskArn, network: &TaskNetwork) -> NetworkInterface {
    let TaskArn { region, account, .. } = task;
    let attachment = network.attachment;
    NetworkInterface {
        ec2_id: network.interface.clone(),
        attachment_arn: format!("arn:aws:ecs:{region}:{account}:attachment/{attachment}"),
        mac_address: network.mac.clone(),
        index: 0,
        name: "eth0".to_owned(),
        ipv4_addresses: vec![Ipv4Address {
            primary: true,
            private_address: network.address.to_string(),
        }],
        subnet_gateway_ipv4_address: format!("{}/{}", network.gateway, network.prefix),
        private_dns_name: network.private_dns_name.clone(),
        interface_association_protocol: Some("default".to_owned()),
        ..NetworkInterface::default()
    }
}
