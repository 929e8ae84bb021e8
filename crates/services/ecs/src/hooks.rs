//! Who calls the functions that lifecycle hooks of deployments name (ECS semantics §10.3): owned here,
//! implemented by those who have what is meant.

use async_trait::async_trait;

/// Calls functions.
#[async_trait]
pub trait HookCaller: Send + Sync + 'static {
    /// Calls a function, named by its ARN or a URL, with an event, which is JSON; gives the JSON that
    /// it answered.
    ///
    /// # Errors
    /// When there is no answer.
    async fn call(&self, target: &str, event: String) -> Result<String, HookFailure>;
}

/// That a function gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFailure {
    /// Why, in words that go on a sentence.
    pub text: String,
    /// Whether trying again may help.
    pub may_pass: bool,
}

impl HookFailure {
    /// One that trying again may help with.
    pub fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), may_pass: true }
    }

    /// One that stays.
    pub fn lasting(text: impl Into<String>) -> Self {
        Self { text: text.into(), may_pass: false }
    }
}
