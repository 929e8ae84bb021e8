//! Events on their way to targets.

use serde::{Deserialize, Serialize};
use shapes_events as shapes;
use terms::Timestamp;
use wire::document::Document;

/// Tries after the first, if the target does not say (EventBridge API reference, RetryPolicy).
const RETRIES_DEFAULT: u32 = 185;
/// How long a delivery is tried, if the target does not say, in seconds.
const AGE_DEFAULT_S: u64 = 86_400;

/// One event for one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event's id.
    pub event_id: String,
    /// What the target gets.
    pub payload: String,
    /// The target as it was when the event matched.
    pub target: Document<shapes::Target>,
    /// The ARN of the rule.
    pub rule_arn: String,
    /// The rule's name.
    pub rule_name: String,
    /// The event's time.
    pub time: Timestamp,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
}

impl Delivery {
    /// The target's ARN.
    pub fn arn(&self) -> &str {
        &self.target.arn
    }

    /// How often it is tried again at most.
    pub(crate) fn retries_max(&self) -> u32 {
        let policy = self.target.retry_policy.as_ref();
        let wanted = policy.and_then(|policy| policy.maximum_retry_attempts);
        wanted.and_then(|wanted| u32::try_from(wanted).ok()).unwrap_or(RETRIES_DEFAULT)
    }

    /// When it is given up.
    pub(crate) fn expires_at(&self) -> Timestamp {
        let policy = self.target.retry_policy.as_ref();
        let wanted = policy.and_then(|policy| policy.maximum_event_age_in_seconds);
        let age = wanted.and_then(|wanted| u64::try_from(wanted).ok()).unwrap_or(AGE_DEFAULT_S);
        self.created_at + std::time::Duration::from_secs(age)
    }
}

/// Why a target did not take a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// As in `ResourceNotFoundException`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether another try may go better.
    pub is_passing: bool,
}

impl Failure {
    /// One that may pass.
    pub fn passing(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), is_passing: true }
    }

    /// One that will not.
    pub fn lasting(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), is_passing: false }
    }
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What it was.
    pub delivery: Delivery,
    /// When it was given up.
    pub at: Timestamp,
    /// What the target said last: the code.
    pub error_code: String,
    /// And the text.
    pub error_message: String,
    /// `MaximumRetryAttempts` or `MaximumEventAgeInSeconds`; none if another try was of no use.
    pub exhausted: Option<String>,
}
