//! Networks as Amazon EC2 shows them: VPCs, their subnets and security groups, and the network
//! interfaces of tasks.
//!
//! - What exists without being made: `model/default.rs`. A default VPC follows from account and
//!   region, so every account and region has one, with the same ids for ever; of it is stored what
//!   was changed (`directory.rs`).
//! - Tables ([`Tables`]): VPCs, subnets and security groups that were made, and network interfaces,
//!   each of which belongs to who asked for it.
//! - Which address an interface gets: `decide/`, pure.
//! - Operations ([`Vpc::service`]): `api/`.
//! - For higher services: `peer.rs`, on their transactions.
//!
//! **Invariant:** no two interfaces of a VPC have the same address or the same MAC, and none has an
//! address that AWS reserves.
//! **Invariant:** no two subnets of a VPC have an address in common.
//! **Absent on purpose:** gateways, route tables and network ACLs; enforcement of security groups.
//! Their rules are kept and shown, and all traffic passes, until the networks issue.

mod api;
mod check;
mod decide;
mod directory;
mod error;
mod model;
mod peer;
mod routes;
mod tables;

use ledger::Ledger;
use wire::{Route, Service};

pub use model::{Cidr, NoCidr, Subnet};
pub use peer::{
    Interface, Network, NewInterface, ResolveError, SubnetFull, default_subnet, zone_id,
};
pub use tables::{Scope, Tables};

/// The room's face: cheap to clone.
#[derive(Clone, Debug)]
pub struct Vpc {
    ledger: Ledger,
    tables: Tables,
}

impl Vpc {
    /// The networks of a ledger that was opened with these tables.
    pub fn new(tables: Tables, ledger: Ledger) -> Self {
        Self { ledger, tables }
    }

    /// The operations of Amazon EC2 that are built.
    pub fn service(&self) -> Service {
        api::service(self)
    }

    /// Its other path: `/_longshore/network`, the caller's default VPC at one look.
    pub fn routes(&self) -> Vec<Route> {
        vec![routes::network(self)]
    }
}
