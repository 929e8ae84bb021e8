//! Tables and indexes; only this crate writes them.

use ledger::{Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table};
use terms::{AccountId, Region};

use crate::model::{InterfaceRecord, SecurityGroup, Subnet, VpcRecord};

/// Account and region: the first part of every key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Key for Scope {
    fn encode(&self, writer: &mut KeyWriter) {
        self.account.encode(writer);
        self.region.encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self { account: Key::decode(reader)?, region: Key::decode(reader)? })
    }
}

/// A key of every table: scope and id.
pub(crate) type RowKey = (Scope, String);

impl Record for InterfaceRecord {}
impl Record for VpcRecord {}
impl Record for Subnet {}
impl Record for SecurityGroup {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Network interfaces.
    pub(crate) interfaces: Table<RowKey, InterfaceRecord>,
    /// Network interfaces by subnet and address: `(scope, subnet, address as a number)`.
    pub(crate) by_address: Index<(Scope, String, u32), RowKey, InterfaceRecord>,
    /// VPCs that were made, and default ones of which something was changed.
    pub(crate) vpcs: Table<RowKey, VpcRecord>,
    /// The same of subnets.
    pub(crate) subnets: Table<RowKey, Subnet>,
    /// The same of security groups.
    pub(crate) groups: Table<RowKey, SecurityGroup>,
    /// Security groups by VPC and name.
    pub(crate) groups_by_name: Index<(Scope, String, String), RowKey, SecurityGroup>,
    /// Subnets by VPC.
    pub(crate) subnets_by_vpc: Index<(Scope, String), RowKey, Subnet>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        let interfaces = schema.table("vpc.network_interfaces");
        let by_address =
            schema.index(&interfaces, "by_address", |key: &RowKey, row: &InterfaceRecord| {
                vec![(key.0.clone(), row.subnet.clone(), u32::from(row.address))]
            });
        let vpcs = schema.table("vpc.vpcs");
        let subnets = schema.table("vpc.subnets");
        let groups = schema.table("vpc.security_groups");
        let groups_by_name =
            schema.index(&groups, "by_name", |key: &RowKey, row: &SecurityGroup| {
                vec![(key.0.clone(), row.vpc.clone(), row.name.clone())]
            });
        let subnets_by_vpc = schema.index(&subnets, "by_vpc", |key: &RowKey, row: &Subnet| {
            vec![(key.0.clone(), row.vpc.clone())]
        });
        Self { interfaces, by_address, vpcs, subnets, groups, groups_by_name, subnets_by_vpc }
    }
}
