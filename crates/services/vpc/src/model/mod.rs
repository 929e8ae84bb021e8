//! Networks and their parts. No I/O, no clock, no ids of their own making.

mod id;
mod interface;
mod network;
mod region;

pub(crate) use interface::{Fresh, InterfaceRecord};
pub use network::{Cidr, Subnet};
pub(crate) use network::{DefaultVpc, Peers, Rule, SecurityGroup};
pub(crate) use region::{OPT_IN_REGIONS, REGIONS, Zone, dns_suffix, zones};
