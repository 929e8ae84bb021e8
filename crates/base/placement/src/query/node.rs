//! An expression as a tree, and its evaluation.

use std::cmp::Ordering;

use regex::Regex;

use super::Subject;
use super::version::Version;

/// One knot of the tree. Its depth is at most twice [`super::MAX_NESTING`], so that walking it
/// needs little stack.
pub(super) enum Node {
    /// All of these hold.
    All(Vec<Node>),
    /// One of these holds.
    Any(Vec<Node>),
    /// This does not hold.
    Not(Box<Node>),
    /// A simple expression.
    Test(Test),
}

/// A simple expression: a subject, and what is asked of it.
pub(super) enum Test {
    AgentConnected(Check),
    AgentVersion(Relation, Version),
    Attribute(Box<str>, Check),
    Ec2InstanceId(Check),
    /// With seconds since the Unix epoch.
    RegisteredAt(Relation, i64),
    RunningTasksCount(Relation, u32),
    TaskGroup(Check),
}

/// What is asked of a text.
pub(super) struct Check {
    pub(super) negated: bool,
    pub(super) kind: Kind,
}

/// What is asked of a text, before negation.
pub(super) enum Kind {
    Exists,
    Equals(Box<str>),
    In(Vec<Box<str>>),
    /// The pattern is anchored at both ends.
    Matches(Box<Regex>),
    Ordered(Relation, Box<str>),
}

/// How two things compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl Node {
    pub(super) fn matches(&self, subject: &dyn Subject) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(subject)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(subject)),
            Self::Not(node) => !node.matches(subject),
            Self::Test(test) => test.matches(subject),
        }
    }

    /// The answer, if the subject's attributes alone settle it.
    pub(super) fn settled(&self, subject: &dyn Subject) -> Option<bool> {
        // One decisive answer is enough, whatever the others are; without it all must be known.
        let fold = |nodes: &[Self], decisive: bool| {
            let mut all_known = true;
            for node in nodes {
                match node.settled(subject) {
                    Some(answer) if answer == decisive => return Some(decisive),
                    Some(_) => {}
                    None => all_known = false,
                }
            }
            all_known.then_some(!decisive)
        };
        match self {
            Self::All(nodes) => fold(nodes, false),
            Self::Any(nodes) => fold(nodes, true),
            Self::Not(node) => node.settled(subject).map(|answer| !answer),
            Self::Test(test @ Test::Attribute(..)) => Some(test.matches(subject)),
            Self::Test(_) => None,
        }
    }

    pub(super) fn only_attributes(&self) -> bool {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().all(Self::only_attributes),
            Self::Not(node) => node.only_attributes(),
            Self::Test(test) => matches!(test, Test::Attribute(..)),
        }
    }
}

impl Test {
    fn matches(&self, subject: &dyn Subject) -> bool {
        match self {
            Self::AgentConnected(check) => {
                check.holds(Some(if subject.agent_connected() { "true" } else { "false" }))
            }
            Self::AgentVersion(relation, version) => subject
                .agent_version()
                .and_then(Version::parse)
                .is_some_and(|has| relation.holds(has.order(version))),
            Self::Attribute(name, check) => {
                check.holds(subject.attribute(name).map(Option::unwrap_or_default))
            }
            Self::Ec2InstanceId(check) => check.holds(subject.ec2_instance_id()),
            Self::RegisteredAt(relation, seconds) => {
                relation.holds(subject.registered_at().seconds().cmp(seconds))
            }
            Self::RunningTasksCount(relation, count) => {
                relation.holds(subject.running_tasks().cmp(count))
            }
            Self::TaskGroup(check) => check.holds_of_groups(subject),
        }
    }
}

impl Check {
    /// Whether it holds of a value, or of there being none.
    fn holds(&self, value: Option<&str>) -> bool {
        match self.kind {
            Kind::Exists => value.is_some() != self.negated,
            _ => value.is_some_and(|value| self.kind.accepts(value) != self.negated),
        }
    }

    fn holds_of_groups(&self, subject: &dyn Subject) -> bool {
        let fits = match &self.kind {
            Kind::Equals(group) => subject.has_group(group),
            kind => subject.any_group(&mut |group| kind.accepts(group)),
        };
        match self.kind {
            Kind::Exists => fits != self.negated,
            _ if self.negated => !fits && subject.any_group(&mut |_| true),
            _ => fits,
        }
    }
}

impl Kind {
    fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(wanted) => **wanted == *value,
            Self::In(wanted) => wanted.iter().any(|wanted| **wanted == *value),
            Self::Matches(pattern) => pattern.is_match(value),
            Self::Ordered(relation, wanted) => relation.holds(order(value, wanted)),
        }
    }
}

/// As numbers if both are, else as texts.
fn order(left: &str, right: &str) -> Ordering {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        _ => left.cmp(right),
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
        }
    }
}
