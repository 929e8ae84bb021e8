//! Tables and indexes; only this crate writes them.

use ledger::{Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table};
use terms::{AccountId, Region};

use crate::model::InterfaceRecord;

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

/// An interface's key: scope and id.
pub(crate) type InterfaceKey = (Scope, String);

impl Record for InterfaceRecord {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Network interfaces.
    pub(crate) interfaces: Table<InterfaceKey, InterfaceRecord>,
    /// Network interfaces by subnet and address: `(scope, subnet, address as a number)`.
    pub(crate) by_address: Index<(Scope, String, u32), InterfaceKey, InterfaceRecord>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        let interfaces = schema.table("vpc.network_interfaces");
        let by_address =
            schema.index(&interfaces, "by_address", |key: &InterfaceKey, row: &InterfaceRecord| {
                vec![(key.0.clone(), row.subnet.clone(), u32::from(row.address))]
            });
        Self { interfaces, by_address }
    }
}
