//! Networks and their parts. No I/O, no clock, no ids of their own making.

mod default;
mod groups;
mod id;
mod interface;
mod network;
mod region;

pub(crate) use default::{DefaultVpc, dhcp_options};
pub(crate) use groups::{ALL, DEFAULT, Peers, Rule, SecurityGroup, Traffic};
pub(crate) use id::made;
pub(crate) use interface::{Fresh, InterfaceRecord};
pub use network::{Cidr, NoCidr, Subnet};
pub(crate) use network::{Tags, VpcRecord};
pub(crate) use region::{OPT_IN_REGIONS, REGIONS, Zone, dns_suffix, zones};
