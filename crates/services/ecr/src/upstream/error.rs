//! Why nothing came from upstream.

use distribution::ClientError;

use crate::depot::DepotError;
use crate::error::Error;

/// Why nothing came from upstream. Cloneable: many wait for the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// It has no such thing.
    #[error("the upstream registry has no such image")]
    Missing,
    /// It does not let us.
    #[error("The authentication to the upstream registry failed. {0}")]
    Denied(String),
    /// It wants to be asked later.
    #[error("the upstream registry is asked too often: {0}")]
    Throttled(String),
    /// It does not answer.
    #[error("the upstream registry does not answer: {0}")]
    Away(String),
    /// What it has cannot be kept.
    #[error("what the upstream registry has cannot be kept: {0}")]
    Unusable(String),
    /// The rule's secret does not do.
    #[error("{0}")]
    Secret(String),
    /// Ours is the trouble.
    #[error("the registry could not keep what came from upstream: {0}")]
    Ours(String),
}

impl UpstreamError {
    /// Whether trying again soon may help.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Throttled(_))
    }
}

impl From<ClientError> for UpstreamError {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Denied { message } => Self::Denied(message),
            ClientError::Throttled { .. } => Self::Throttled(text),
            error if error.is_transient() => Self::Away(text),
            ClientError::Untrusted { .. } | ClientError::Insecure { .. } => Self::Away(text),
            _ => Self::Unusable(text),
        }
    }
}

impl From<Error> for UpstreamError {
    fn from(error: Error) -> Self {
        error.log();
        Self::Ours(error.to_string())
    }
}

impl From<DepotError> for UpstreamError {
    fn from(error: DepotError) -> Self {
        Self::from(Error::from(error))
    }
}
