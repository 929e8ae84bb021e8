//! What a task's containers use: volumes, attachments, network interfaces (agent-protocol §2.6,
//! §2.7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::nullable;

/// A volume of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// What mount points call it. Required.
    pub name: String,
    /// `host` (also when absent), `docker`, `efs` or `fsxWindowsFileServer`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostVolume>,
    /// For `docker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_volume_configuration: Option<DockerVolume>,
    /// For `efs`, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub efs_volume_configuration: Option<Value>,
    /// For `fsxWindowsFileServer`, kept as it came.
    #[serde(
        default,
        rename = "fsxWindowsFileServerVolumeConfiguration",
        skip_serializing_if = "Option::is_none"
    )]
    pub fsx_volume_configuration: Option<Value>,
}

/// A path of the host, or (without one) an empty volume that lives as long as the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostVolume {
    /// The path on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_path: Option<String>,
}

/// A Docker volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerVolume {
    /// `task` (goes with the task) or `shared` (stays).
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub scope: String,
    /// Whether a shared volume is made when it does not exist.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub autoprovision: bool,
    /// The driver; `local` by default.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub driver: String,
    /// The driver's options.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub labels: BTreeMap<String, String>,
}

/// A volume or Service Connect settings that come with a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The attachment's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_arn: String,
    /// `amazonebs`, `s3files`, `serviceconnectdetail`, …; Amazon's agent crashes without it.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_type: String,
    /// Its properties.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_properties: Vec<AttachmentProperty>,
}

/// One property of an [`Attachment`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentProperty {
    /// Name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// Value.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub value: String,
}

/// A network interface of an awsvpc task or of an instance (agent-protocol §2.7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    /// `eni-…`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub ec2_id: String,
    /// The attachment's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_arn: String,
    /// Its MAC address.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub mac_address: String,
    /// Position in the task.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub index: u32,
    /// The interface's name in the task.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// IPv4 addresses.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub ipv4_addresses: Vec<Ipv4Address>,
    /// IPv6 addresses.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub ipv6_addresses: Vec<Ipv6Address>,
    /// `ip/prefix` of the gateway.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub subnet_gateway_ipv4_address: String,
    /// `ip/prefix` of the gateway.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub subnet_gateway_ipv6_address: String,
    /// Its name in DNS.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub private_dns_name: String,
    /// Name servers of its subnet.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub domain_name_servers: Vec<String>,
    /// Search domains of its subnet.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub domain_name: Vec<String>,
    /// `default` (also when absent) or `vlan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_association_protocol: Option<String>,
    /// For `vlan`, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_vlan_properties: Option<Value>,
}

/// An IPv4 address of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ipv4Address {
    /// Whether it is the first.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub primary: bool,
    /// The address.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub private_address: String,
}

/// An IPv6 address of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ipv6Address {
    /// Whether it is the first.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub primary: bool,
    /// The address.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub address: String,
}
