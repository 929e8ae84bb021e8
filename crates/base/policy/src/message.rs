//! Why not, in the words that AWS's clients show.

use crate::{Cause, Decision, PolicySets, Set};

impl Set {
    /// What AWS calls a policy of this set.
    fn called(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::Resource => "resource-based policy",
        }
    }
}

impl Decision {
    /// What follows `User: … is not authorized to perform: … on resource: …`; empty if allowed.
    /// An explicit denial of a managed policy names its ARN, if it is of this account.
    pub fn tail(&self, action: &str, sets: &PolicySets<'_>) -> String {
        match self.cause {
            Cause::Allowed(_) | Cause::Unasked => String::new(),
            Cause::Missing(set) => {
                format!(" because no {} allows the {action} action", set.called())
            }
            Cause::Denied(found) => {
                let article = if found.set == Set::Identity { "an" } else { "a" };
                let text = format!(" with an explicit deny in {article} {}", found.set.called());
                let arn = sets.source(found).and_then(|source| source.arn.as_deref());
                arn.map_or(text.clone(), |arn| format!("{text}: {arn}"))
            }
        }
    }

    /// AWS's whole sentence.
    pub fn message(
        &self,
        caller: &str,
        action: &str,
        resource: &str,
        sets: &PolicySets<'_>,
    ) -> String {
        let tail = self.tail(action, sets);
        format!(
            "User: {caller} is not authorized to perform: {action} on resource: {resource}{tail}"
        )
    }
}
