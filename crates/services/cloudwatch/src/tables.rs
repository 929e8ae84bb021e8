//! Tables and indexes; only this crate writes them.

use events::Scope;
use ledger::{Record, Schema, Table};

use crate::alarms::Alarm;

/// An alarm's key: scope and name.
pub(crate) type AlarmKey = (Scope, String);

impl Record for Alarm {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Metric alarms.
    pub(crate) alarms: Table<AlarmKey, Alarm>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        Self { alarms: schema.table("cloudwatch.alarms") }
    }
}
