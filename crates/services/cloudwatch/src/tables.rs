//! Tables and indexes; only this crate writes them.

use events::Scope;
use ledger::{Record, Schema, Table};

use crate::alarms::Alarm;
use crate::logs::LogGroup;

/// An alarm's key: scope and name.
pub(crate) type AlarmKey = (Scope, String);

/// A log group's key: scope and name.
pub(crate) type GroupKey = (Scope, String);

impl Record for Alarm {}
impl Record for LogGroup {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Metric alarms.
    pub(crate) alarms: Table<AlarmKey, Alarm>,
    /// Log groups; their streams and events lie elsewhere.
    pub(crate) log_groups: Table<GroupKey, LogGroup>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        Self { alarms: schema.table("cloudwatch.alarms"), log_groups: schema.table("logs.groups") }
    }
}
