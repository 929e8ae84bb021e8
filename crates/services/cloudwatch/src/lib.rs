//! Amazon CloudWatch: alarms and logs.
//!
//! - Alarms: table `cloudwatch.alarms`. Nothing feeds metrics yet, so an alarm's state is what
//!   SetAlarmState said last.
//! - Logs: table `logs.groups`; streams and events in a store of their own (`logs/store.rs`). Log
//!   groups are targets of events ([`LogTarget`]).
//! - For higher services: `peer.rs` (states of alarms on a transaction or in a snapshot, and which
//!   alarms a commit touched).
//!
//! **Absent on purpose:** an alarm's actions; they are kept and shown.

mod alarms;
mod error;
mod logs;
mod peer;
mod tables;

use ledger::Ledger;
use wire::Service;

pub use alarms::{AlarmState, StateValue};
pub use events::Scope;
pub use logs::{LOGS_MAX_BYTES, LogTarget, Logs, LogsError};
pub use peer::AlarmChange;
pub use tables::Tables;

/// The room's face: cheap to clone.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    ledger: Ledger,
    tables: Tables,
}

impl CloudWatch {
    /// The service over a ledger that was opened with these tables.
    pub fn new(tables: Tables, ledger: Ledger) -> Self {
        Self { ledger, tables }
    }

    /// The operations on alarms.
    pub fn service(&self) -> Service {
        alarms::service(self)
    }
}
