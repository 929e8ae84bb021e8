//! The cluster query language: which container instances an expression selects.
//!
//! ```text
//! expr     := conjunction { ("or" | "||") conjunction }
//! conjunction := term { ("and" | "&&") term }
//! term     := { "not" | "!" } ( "(" expr ")" | subject operator [ argument ] )
//! ```
//!
//! The rules are those of the Developer Guide, "Create expressions to define container instances
//! for Amazon ECS tasks". What that page leaves open is decided here:
//!
//! - `and` binds tighter than `or`; keywords and operators are lower-case.
//! - `=~` must match the whole value, as Java's `matches` does; all comparisons mind case.
//! - A test of something that the instance lacks is false, `!=`, `!in` and `!~` too; `not (…)`
//!   of such a test is true.
//! - `task:group` has as many values as groups have tasks on the instance: `==`, `in`, `=~` and
//!   the orderings ask whether one of them fits, `!=`, `!in` and `!~` whether there are some and
//!   none fits.
//! - An ordering of attributes is one of numbers if both sides are numbers, else one of texts.
//! - An attribute that has no value counts as one with the empty text.
//! - Times are compared in whole seconds; a time without zone is UTC, a date its midnight.
//!
//! **Invariant:** reading and evaluating take time and memory bounded by [`MAX_EXPRESSION_CHARS`],
//! [`MAX_NESTING`], [`MAX_PATTERNS`] and [`MAX_PATTERN_BYTES`]; regular expressions run in time
//! linear in the value that they are matched with.

mod date;
mod error;
mod node;
mod operator;
mod parse;
mod pattern;
mod scan;
mod version;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use terms::Timestamp;

pub use error::QueryError;
use node::Node;

/// How long an expression may be, in characters (Developer Guide, "Define which container
/// instances Amazon ECS uses for tasks").
pub const MAX_EXPRESSION_CHARS: usize = 2_000;
/// How deeply parentheses may be nested in an expression, and groups in a regular expression.
pub const MAX_NESTING: u32 = 50;
/// How many regular expressions one expression may hold.
pub const MAX_PATTERNS: usize = 32;
/// How much memory one compiled regular expression may take, in bytes.
pub const MAX_PATTERN_BYTES: usize = 128 * 1024;

/// What an expression is asked of: the facts of one container instance.
pub trait Subject {
    /// The attribute `name`: `None` if the instance lacks it, `Some(None)` if it has no value.
    fn attribute(&self, name: &str) -> Option<Option<&str>>;

    /// Whether the instance's agent is connected.
    fn agent_connected(&self) -> bool;

    /// The version that the instance's agent reported.
    fn agent_version(&self) -> Option<&str>;

    /// The id of the EC2 instance; instances of one's own have none.
    fn ec2_instance_id(&self) -> Option<&str>;

    /// When the instance was registered.
    fn registered_at(&self) -> Timestamp;

    /// How many tasks are RUNNING on the instance.
    fn running_tasks(&self) -> u32;

    /// Whether `accepts` answers true for one of the groups that have tasks on the instance. It
    /// may be asked fewer times than there are groups, and about one group more than once.
    fn any_group(&self, accepts: &mut dyn FnMut(&str) -> bool) -> bool;

    /// Whether a task of `group` is on the instance. To be overridden where that is quicker.
    fn has_group(&self, group: &str) -> bool {
        self.any_group(&mut |has| has == group)
    }
}

/// An expression that was read and found good. Cheap to clone; equal if the texts are.
#[derive(Clone)]
pub struct Expression(Arc<Inner>);

struct Inner {
    text: Box<str>,
    root: Node,
}

impl Expression {
    /// Whether the expression selects this instance.
    pub fn matches(&self, subject: &dyn Subject) -> bool {
        self.0.root.matches(subject)
    }

    /// Whether the expression asks for nothing but attributes, so that instances with equal
    /// attributes get the same answer, whatever runs on them.
    pub fn only_attributes(&self) -> bool {
        self.0.root.only_attributes()
    }

    /// The answer, if the attributes of `subject` alone settle it: it is then the same for all
    /// instances with equal attributes. Nothing but attributes is asked of `subject`.
    pub fn settled(&self, subject: &dyn Subject) -> Option<bool> {
        self.0.root.settled(subject)
    }

    /// The text that it was read from.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl FromStr for Expression {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        Ok(Self(Arc::new(Inner { root: parse::parse(text)?, text: text.into() })))
    }
}

/// The text that it was read from.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.as_str()).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
