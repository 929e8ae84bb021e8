//! A container agent that is being replaced by another (agent-protocol §2.5): staged on its
//! machine, then started in the old one's place.

use serde::{Deserialize, Serialize};

/// Digits of a program's digest that its agent tells as its hash.
const HASH_DIGITS: usize = 8;

/// How far an update has come (API reference, `ContainerInstance.agentUpdateStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UpdateStatus {
    /// Asked for; the agent was not told yet.
    Pending,
    /// The agent fetches and verifies the program.
    Staging,
    /// It has it.
    Staged,
    /// It is starting it.
    Updating,
    /// The new agent is connected.
    Updated,
    /// It came to nothing: the old agent goes on.
    Failed,
}

/// What happens to an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateEvent {
    /// The agent was told to fetch the program.
    Told,
    /// It has it, verified.
    Fetched,
    /// It begins to replace itself.
    Begun,
    /// It cannot, or will not.
    Refused,
}

impl UpdateStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Staging => "STAGING",
            Self::Staged => "STAGED",
            Self::Updating => "UPDATING",
            Self::Updated => "UPDATED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether it still goes on.
    pub(crate) const fn is_under_way(self) -> bool {
        match self {
            Self::Pending | Self::Staging | Self::Staged | Self::Updating => true,
            Self::Updated | Self::Failed => false,
        }
    }

    /// What follows; none if nothing does: what comes too late changes nothing.
    pub(crate) const fn next(self, event: UpdateEvent) -> Option<Self> {
        match (self, event) {
            (Self::Pending, UpdateEvent::Told) => Some(Self::Staging),
            (Self::Pending | Self::Staging, UpdateEvent::Fetched) => Some(Self::Staged),
            (Self::Staged, UpdateEvent::Begun) => Some(Self::Updating),
            (
                Self::Pending | Self::Staging | Self::Staged | Self::Updating,
                UpdateEvent::Refused,
            ) => Some(Self::Failed),
            (
                Self::Pending
                | Self::Staging
                | Self::Staged
                | Self::Updating
                | Self::Updated
                | Self::Failed,
                _,
            ) => None,
        }
    }
}

/// An update of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentUpdate {
    /// The program's SHA-256, in hexadecimal.
    pub(crate) digest: String,
    /// How far it has come.
    pub(crate) status: UpdateStatus,
}

impl AgentUpdate {
    /// Whether an agent that tells this hash is the program.
    pub(crate) fn is_of(&self, hash: Option<&str>) -> bool {
        hash == Some(hash_of(&self.digest))
    }

    /// The update after an agent with this hash has connected: there, given up, or as it was.
    #[must_use]
    pub(crate) fn met(self, hash: Option<&str>) -> Self {
        let status = match self.status {
            UpdateStatus::Staging | UpdateStatus::Staged | UpdateStatus::Updating
                if self.is_of(hash) =>
            {
                UpdateStatus::Updated
            }
            // It went, and came back as it was.
            UpdateStatus::Updating if hash.is_some() => UpdateStatus::Failed,
            other => other,
        };
        Self { status, ..self }
    }
}

/// What an agent of this digest tells as its hash.
pub(crate) fn hash_of(digest: &str) -> &str {
    digest.get(..HASH_DIGITS).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn an_update_goes_its_way_or_fails() {
        let mut status = UpdateStatus::Pending;
        for (event, word) in [
            (UpdateEvent::Told, "STAGING"),
            (UpdateEvent::Fetched, "STAGED"),
            (UpdateEvent::Begun, "UPDATING"),
        ] {
            assert!(status.is_under_way());
            assert_eq!(status.next(UpdateEvent::Refused), Some(UpdateStatus::Failed));
            status = status.next(event).unwrap_or(status);
            assert_eq!(status.as_str(), word);
        }
        for over in [UpdateStatus::Updated, UpdateStatus::Failed] {
            assert!(!over.is_under_way());
            assert_eq!(over.next(UpdateEvent::Refused), None);
        }
    }

    #[test]
    fn who_connects_tells_what_became_of_it() {
        let check = |before, hash: Option<&str>, after| {
            let update = AgentUpdate { digest: DIGEST.to_owned(), status: before };
            assert_eq!(update.met(hash).status, after, "{before:?} {hash:?}");
        };
        check(UpdateStatus::Updating, Some("01234567"), UpdateStatus::Updated);
        check(UpdateStatus::Staged, Some("01234567"), UpdateStatus::Updated);
        check(UpdateStatus::Updating, Some("fedcba98"), UpdateStatus::Failed);
        check(UpdateStatus::Updating, None, UpdateStatus::Updating);
        check(UpdateStatus::Staging, Some("fedcba98"), UpdateStatus::Staging);
        check(UpdateStatus::Failed, Some("01234567"), UpdateStatus::Failed);
    }
}
