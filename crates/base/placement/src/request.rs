//! What is to be placed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use terms::{CpuUnits, MemoryMib};

use crate::query::Expression;

/// Most strategies that a request may have (API reference, RunTask, `placementStrategy`).
pub const MAX_STRATEGIES: usize = 5;

/// What one task takes of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demand {
    /// CPU units.
    pub cpu: CpuUnits,
    /// Memory in MiB.
    pub memory: MemoryMib,
    /// Whole GPUs.
    pub gpus: u32,
    /// Elastic network interfaces: one for a task of network mode `awsvpc`.
    pub enis: u32,
    /// 1 for a task that is RUNNING: what `runningTasksCount` of the query language counts. A task
    /// that is to be placed is not.
    pub running: u32,
    /// TCP ports of the host.
    pub tcp: Vec<u16>,
    /// UDP ports of the host.
    pub udp: Vec<u16>,
}

impl Demand {
    /// Whether ports of the host are wanted.
    pub(crate) fn has_ports(&self) -> bool {
        !self.tcp.is_empty() || !self.udp.is_empty()
    }
}

/// An attribute that an instance must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredAttribute {
    /// Its name, as in `ecs.capability.task-eni`.
    pub name: Arc<str>,
    /// Its value; any value, or none, will do if absent.
    pub value: Option<Arc<str>>,
}

/// A rule that binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// Each task of the group on an instance of its own.
    DistinctInstance,
    /// Only instances that the expression selects.
    MemberOf(Expression),
}

/// A wish. Each one chooses among the instances that the one before left equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Any of them.
    Random,
    /// Where fewest tasks of the group are.
    Spread(Spread),
    /// Where least is left afterwards.
    Binpack(Binpack),
}

/// What tasks are spread over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Instances (`instanceId`, `host`).
    Instance,
    /// The values of an attribute; instances without it count as one more value.
    Attribute(Arc<str>),
}

/// What is packed tightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binpack {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
}

/// A number of equal tasks to be placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// How many.
    pub count: u32,
    /// The group whose tasks [`Strategy::Spread`] and [`Constraint::DistinctInstance`] count.
    pub group: Arc<str>,
    /// What each takes.
    pub demand: Demand,
    /// What an instance must have.
    pub attributes: Vec<RequiredAttribute>,
    /// The zones that will do, by the value of [`crate::ZONE`]: those of the subnets of a task of
    /// network mode `awsvpc`. Any zone, or none, will do if absent.
    pub zones: Option<BTreeSet<Arc<str>>>,
    /// Rules that bind.
    pub constraints: Vec<Constraint>,
    /// Wishes, the strongest first; those after [`MAX_STRATEGIES`] are ignored. Without any, chance
    /// chooses.
    pub strategies: Vec<Strategy>,
}

/// As requests name it, with its expression.
impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DistinctInstance => f.write_str("distinctInstance"),
            Self::MemberOf(expression) => write!(f, "memberOf {expression}"),
        }
    }
}

impl Constraint {
    /// The constraint that is told with these words, as its `Display` has them: what tasks keep of
    /// where they may be.
    pub fn from_words(words: &str) -> Option<Self> {
        match words {
            "distinctInstance" => Some(Self::DistinctInstance),
            _ => words.strip_prefix("memberOf ")?.parse().ok().map(Self::MemberOf),
        }
    }
}

/// In plain words.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("chance"),
            Self::Spread(Spread::Instance) => f.write_str("spread over instances"),
            Self::Spread(Spread::Attribute(name)) => write!(f, "spread over {name}"),
            Self::Binpack(Binpack::Cpu) => f.write_str("least CPU left"),
            Self::Binpack(Binpack::Memory) => f.write_str("least memory left"),
        }
    }
}

impl Strategy {
    /// The strategy that is told with these words, as its `Display` has them: what tasks keep of
    /// how they were placed.
    pub fn from_words(words: &str) -> Option<Self> {
        match words {
            "chance" => Some(Self::Random),
            "spread over instances" => Some(Self::Spread(Spread::Instance)),
            "least CPU left" => Some(Self::Binpack(Binpack::Cpu)),
            "least memory left" => Some(Self::Binpack(Binpack::Memory)),
            _ => {
                let name = words.strip_prefix("spread over ")?;
                Some(Self::Spread(Spread::Attribute(name.into())))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_read_back_from_its_words() {
        let all = [
            Strategy::Random,
            Strategy::Spread(Spread::Instance),
            Strategy::Spread(Spread::Attribute("rack".into())),
            Strategy::Binpack(Binpack::Cpu),
            Strategy::Binpack(Binpack::Memory),
        ];
        for strategy in all {
            assert_eq!(Strategy::from_words(&strategy.to_string()), Some(strategy));
        }
        assert_eq!(Strategy::from_words("by hand"), None);
    }

    #[test]
    fn a_constraint_is_read_back_from_its_words() {
        let rack = "attribute:rack == 7 and not (task:group == service:db)";
        let all = [Constraint::DistinctInstance, Constraint::MemberOf(rack.parse().unwrap())];
        for constraint in all {
            assert_eq!(Constraint::from_words(&constraint.to_string()), Some(constraint));
        }
        assert_eq!(Constraint::from_words("memberOf"), None);
        assert_eq!(Constraint::from_words("memberOf attribute:"), None);
    }
}
