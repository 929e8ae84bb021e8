//! Tables and indexes; only this crate writes them.

use ledger::{Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table};
use serde::{Deserialize, Serialize};
use terms::{AccountId, Region, Timestamp};

use crate::model::{Bus, DEFAULT_BUS, DeadLetter, Delivery, Rule};

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

impl Scope {
    /// The ARN of a bus.
    pub(crate) fn bus_arn(&self, bus: &str) -> String {
        let Self { account, region } = self;
        format!("arn:aws:events:{region}:{account}:event-bus/{bus}")
    }

    /// The ARN of a rule; the default bus is not named in it.
    pub(crate) fn rule_arn(&self, bus: &str, rule: &str) -> String {
        let Self { account, region } = self;
        let bus = if bus == DEFAULT_BUS { String::new() } else { format!("{bus}/") };
        format!("arn:aws:events:{region}:{account}:rule/{bus}{rule}")
    }
}

/// A bus's key: scope and name.
pub(crate) type BusKey = (Scope, String);
/// A rule's key: scope, bus, name.
pub(crate) type RuleKey = (Scope, String, String);
/// A target's key, which is also that of the lane of its deliveries.
pub(crate) type LaneKey = (RuleKey, String);
/// A delivery's key: deliveries of a lane stand in the order in which their events came.
pub(crate) type DeliveryKey = (LaneKey, u64, [u8; 16]);
/// The key of a delivery that was given up: they stand in the order in which they were.
pub(crate) type LetterKey = (Scope, Timestamp, [u8; 16]);

/// How far the ledger's commits were turned into events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The revision of the last commit whose events are queued.
    pub(crate) revision: u64,
}

impl Record for Bus {}
impl Record for Rule {}
impl Record for Delivery {}
impl Record for DeadLetter {}
impl Record for Cursor {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Buses that were made, and the default one if it has tags.
    pub(crate) buses: Table<BusKey, Bus>,
    /// Rules with their targets.
    pub(crate) rules: Table<RuleKey, Rule>,
    /// Rules that run on a schedule, by when they run next.
    pub(crate) rules_by_due: Index<Timestamp, RuleKey, Rule>,
    /// Rules by the ARNs of their targets: `(scope, bus, target)`.
    pub(crate) rules_by_target: Index<(Scope, String, String), RuleKey, Rule>,
    /// Events on their way.
    pub(crate) deliveries: Table<DeliveryKey, Delivery>,
    /// Deliveries that were given up.
    pub(crate) letters: Table<LetterKey, DeadLetter>,
    /// One row: how far commits were followed.
    pub(crate) cursor: Table<u8, Cursor>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        let rules = schema.table("events.rules");
        Self {
            buses: schema.table("events.buses"),
            rules,
            rules_by_due: schema.index(&rules, "due", |_, rule: &Rule| Vec::from_iter(rule.due())),
            rules_by_target: schema.index(&rules, "target", |key: &RuleKey, rule: &Rule| {
                let arns: std::collections::BTreeSet<_> =
                    rule.targets.values().map(|target| target.arn.clone()).collect();
                let key = |arn| (key.0.clone(), key.1.clone(), arn);
                arns.into_iter().map(key).collect()
            }),
            deliveries: schema.table("events.deliveries"),
            letters: schema.table("events.dead_letters"),
            cursor: schema.table("events.cursor"),
        }
    }
}
