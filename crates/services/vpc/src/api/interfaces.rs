//! Network interfaces: those of tasks.

use std::collections::HashMap;

use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use super::{named, scope, tags, well_formed};
use crate::Vpc;
use crate::error::{Error, NotFound};
use crate::model::InterfaceRecord;
use crate::tables::Scope;

/// Who asks for the interfaces of tasks: shown as their requester, as on AWS an account of ECS's.
const REQUESTER: &str = "ecs.amazonaws.com";
/// Where a task's interface stands at its instance: behind the instance's own.
const DEVICE_INDEX: i32 = 1;

/// DescribeNetworkInterfaces's filters (API reference).
const LISTING: Listing<shapes::NetworkInterface> = Listing {
    key: |row| row.network_interface_id.clone().unwrap_or_default(),
    tags: |row| row.tag_set.as_deref().unwrap_or_default(),
    has_tags: true,
    filters: &[
        ("addresses.association.owner-id", |_| Vec::new()),
        ("addresses.association.public-ip", |_| Vec::new()),
        ("addresses.primary", |_| vec!["true".to_owned()]),
        ("addresses.private-ip-address", |row| Vec::from_iter(row.private_ip_address.clone())),
        ("association.allocation-id", |_| Vec::new()),
        ("association.association-id", |_| Vec::new()),
        ("association.ip-owner-id", |_| Vec::new()),
        ("association.public-dns-name", |_| Vec::new()),
        ("association.public-ip", |_| Vec::new()),
        ("attachment.attach-time", |row| attached(row, |one| text(one.attach_time))),
        ("attachment.attachment-id", |row| attached(row, |one| one.attachment_id.clone())),
        ("attachment.delete-on-termination", |row| {
            attached(row, |one| text(one.delete_on_termination))
        }),
        ("attachment.device-index", |row| attached(row, |one| text(one.device_index))),
        ("attachment.instance-id", |row| attached(row, |one| one.instance_id.clone())),
        ("attachment.instance-owner-id", |row| attached(row, |one| one.instance_owner_id.clone())),
        ("attachment.status", |row| {
            attached(row, |one| one.status.map(|status| status.as_str().to_owned()))
        }),
        ("availability-zone", |row| Vec::from_iter(row.availability_zone.clone())),
        ("availability-zone-id", |row| Vec::from_iter(row.availability_zone_id.clone())),
        ("description", |row| Vec::from_iter(row.description.clone())),
        ("group-id", |row| groups(row, |group| group.group_id.clone())),
        ("group-name", |row| groups(row, |group| group.group_name.clone())),
        ("interface-type", |row| {
            Vec::from_iter(row.interface_type.map(|kind| kind.as_str().to_owned()))
        }),
        ("ipv6-addresses.ipv6-address", |_| Vec::new()),
        ("mac-address", |row| Vec::from_iter(row.mac_address.clone())),
        ("network-interface-id", |row| Vec::from_iter(row.network_interface_id.clone())),
        ("operator.managed", |_| vec!["false".to_owned()]),
        ("operator.principal", |_| Vec::new()),
        ("owner-id", |row| Vec::from_iter(row.owner_id.clone())),
        ("private-dns-name", |row| Vec::from_iter(row.private_dns_name.clone())),
        ("private-ip-address", |row| Vec::from_iter(row.private_ip_address.clone())),
        ("requester-id", |row| Vec::from_iter(row.requester_id.clone())),
        ("requester-managed", |row| Vec::from_iter(text(row.requester_managed))),
        ("source-dest-check", |row| Vec::from_iter(text(row.source_dest_check))),
        ("status", |row| Vec::from_iter(row.status.map(|status| status.as_str().to_owned()))),
        ("subnet-id", |row| Vec::from_iter(row.subnet_id.clone())),
        ("vpc-id", |row| Vec::from_iter(row.vpc_id.clone())),
    ],
};

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn attached(
    row: &shapes::NetworkInterface,
    member: impl Fn(&shapes::NetworkInterfaceAttachment) -> Option<String>,
) -> Vec<String> {
    row.attachment.iter().filter_map(member).collect()
}

fn groups(
    row: &shapes::NetworkInterface,
    member: impl Fn(&shapes::GroupIdentifier) -> Option<String>,
) -> Vec<String> {
    row.groups.iter().flatten().filter_map(member).collect()
}

impl Vpc {
    /// Lists network interfaces.
    pub(super) fn describe_network_interfaces(
        &self,
        context: &Context,
        input: shapes::DescribeNetworkInterfacesRequest,
    ) -> Result<shapes::DescribeNetworkInterfacesResult, Error> {
        let ids = input.network_interface_ids.as_deref().filter(|ids| !ids.is_empty());
        if ids.is_some() && input.max_results.is_some() {
            return Err(Error::Combination("networkInterfaceIdSet", "maxResults"));
        }
        well_formed(ids, "eni", "InvalidNetworkInterfaceId.Malformed")?;
        let (scope, snapshot) = (scope(context), self.ledger.snapshot());
        let groups = self.tables.groups(&snapshot, &scope);
        let names: HashMap<&str, &str> =
            groups.iter().map(|group| (group.id.as_str(), group.name.as_str())).collect();
        let rows = match ids {
            None => snapshot.prefix(&self.tables.interfaces, &scope).map(|(_, row)| row).collect(),
            Some(ids) => {
                let row = |id: &String| {
                    snapshot.get(&self.tables.interfaces, &(scope.clone(), id.clone()))
                };
                ids.iter().filter_map(row).collect::<Vec<_>>()
            }
        };
        let rows = rows.iter().map(|row| show(&scope, &names, row)).collect();
        let rows =
            named(rows, ids, NotFound::Interfaces, |row| row.network_interface_id.as_deref())?;
        let wish = Wish {
            filters: input.filters.as_deref(),
            max_results: input.max_results,
            next_token: input.next_token.as_deref(),
        };
        let (rows, next_token) = LISTING.select(rows, &wish)?;
        Ok(shapes::DescribeNetworkInterfacesResult { network_interfaces: Some(rows), next_token })
    }
}

/// An interface as EC2 shows it, with the names of its groups.
fn show(
    scope: &Scope,
    names: &HashMap<&str, &str>,
    row: &InterfaceRecord,
) -> shapes::NetworkInterface {
    let group = |id: &String| shapes::GroupIdentifier {
        group_id: Some(id.clone()),
        group_name: names.get(id.as_str()).map(|name| (*name).to_owned()),
    };
    let address = shapes::NetworkInterfacePrivateIpAddress {
        primary: Some(true),
        private_dns_name: Some(row.private_dns_name.clone()),
        private_ip_address: Some(row.address.to_string()),
        ..Default::default()
    };
    shapes::NetworkInterface {
        attachment: Some(attachment(scope, row)),
        availability_zone: Some(row.zone.clone()),
        availability_zone_id: Some(row.zone_id.clone()),
        description: Some(row.description.clone()),
        groups: Some(row.groups.iter().map(group).collect()),
        interface_type: Some(shapes::NetworkInterfaceType::Interface),
        ipv6_addresses: Some(Vec::new()),
        mac_address: Some(row.mac.clone()),
        network_interface_id: Some(row.id.clone()),
        owner_id: Some(scope.account.to_string()),
        private_dns_name: Some(row.private_dns_name.clone()),
        private_ip_address: Some(row.address.to_string()),
        private_ip_addresses: Some(vec![address]),
        requester_id: Some(REQUESTER.to_owned()),
        requester_managed: Some(true),
        source_dest_check: Some(true),
        status: Some(shapes::NetworkInterfaceStatus::InUse),
        subnet_id: Some(row.subnet.clone()),
        tag_set: Some(tags::show(&row.tags)),
        vpc_id: Some(row.vpc.clone()),
        ..Default::default()
    }
}

fn attachment(scope: &Scope, row: &InterfaceRecord) -> shapes::NetworkInterfaceAttachment {
    shapes::NetworkInterfaceAttachment {
        attach_time: Some(row.created_at),
        attachment_id: Some(row.attachment.clone()),
        delete_on_termination: Some(true),
        device_index: Some(DEVICE_INDEX),
        instance_id: row.instance.clone(),
        instance_owner_id: Some(scope.account.to_string()),
        network_card_index: Some(0),
        status: Some(shapes::AttachmentStatus::Attached),
        ..Default::default()
    }
}
