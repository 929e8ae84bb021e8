//! What placement thought, kept with the task that it placed.

use serde::{Deserialize, Serialize};

use super::is_default;

/// Why a task is where it is: the material of `longshore why`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// How many instances the cluster had.
    #[serde(rename = "c", alias = "considered")]
    pub(crate) considered: u32,
    /// How many of them could have taken the task.
    #[serde(rename = "f", alias = "fitting")]
    pub(crate) fitting: u32,
    /// How many could not, by reason.
    #[serde(rename = "r", alias = "refused", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<RefusalCount>,
    /// Some of those that could not, in words; a capped number.
    #[serde(rename = "e", alias = "examples", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) examples: Vec<RefusalNote>,
    /// The rules that chose among the fitting ones, in words.
    #[serde(rename = "s", alias = "strategy", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) strategy: Vec<String>,
    /// The constraints that bound it, in words: those of its definition, and those that came with
    /// the request. None in rows of older versions.
    #[serde(rename = "m", alias = "constraints", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) constraints: Vec<String>,
    /// How often the choice was made again because another task was faster.
    #[serde(rename = "t", alias = "retries", default, skip_serializing_if = "is_default")]
    pub(crate) retries: u32,
}

/// How many instances were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct RefusalCount {
    /// ECS's word, as in `RESOURCE:MEMORY`.
    pub(crate) reason: String,
    /// How many instances.
    pub(crate) instances: u32,
}

/// One instance that could not take the task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct RefusalNote {
    /// The instance's ARN.
    pub(crate) instance: String,
    /// ECS's word.
    pub(crate) reason: String,
    /// What was lacking, with figures.
    pub(crate) detail: String,
}
