//! A profile of system calls, before it is compiled.

use serde::{Deserialize, Serialize};

/// Which system calls may be made; the others fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// With what error the others fail.
    pub default_errno: u32,
    /// What is known of the rest.
    pub rules: Vec<Rule>,
}

/// What is known of some calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Their names; those that an architecture does not have are passed over.
    pub names: Vec<String>,
    /// When it holds; none is always.
    pub condition: Option<Condition>,
    /// With what error they fail; none lets them through.
    pub errno: Option<u32>,
}

/// Something that is true of a call's argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which argument, from 0.
    pub argument: u32,
    /// What is true.
    pub compare: Compare,
}

/// A comparison of an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    /// It is this.
    Equal(u64),
    /// It is less than this.
    Below(u64),
    /// None of these bits is set.
    NoneOf(u64),
}
