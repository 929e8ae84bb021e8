//! Repositories that nobody makes by name: pushes, pulls that go through and replicas call them into
//! being, by creation templates.

use std::collections::BTreeMap;

use crate::Inner;
use crate::error::Error;
use crate::model::{Lifecycle, ROOT, Repository};
use crate::tables::NameKey;

/// What calls a repository into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// A push; only if a template says so.
    Push,
    /// A pull that goes through.
    PullThrough,
    /// An image of another registry.
    Replication,
}

impl Case {
    /// As templates name it (`appliedFor`).
    fn as_str(self) -> &'static str {
        match self {
            Self::Push => "CREATE_ON_PUSH",
            Self::PullThrough => "PULL_THROUGH_CACHE",
            Self::Replication => "REPLICATION",
        }
    }
}

impl Inner {
    /// Makes a repository if it is not there: as the template with the longest prefix that fits says,
    /// or else (not for a push) with what holds where nothing is said. False if it may not be.
    pub(crate) async fn create_for(&self, case: Case, key: &NameKey) -> Result<bool, Error> {
        let snapshot = self.ledger.snapshot();
        let fits = |prefix: &str| {
            let rest = key.1.strip_prefix(prefix);
            prefix == ROOT || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let length = |prefix: &str| if prefix == ROOT { 0 } else { prefix.len() };
        let rows = snapshot.prefix(&self.tables.templates, &key.0);
        let meant = rows.filter(|(at, row)| {
            fits(&at.1) && row.applied_for.iter().any(|applied| applied == case.as_str())
        });
        let template = meant.max_by_key(|(at, _)| length(&at.1)).map(|(_, row)| row);
        if template.is_none() && case == Case::Push {
            return Ok(false);
        }
        let done = self.ledger.transact("ecr: create a repository by itself", |tx| {
            if tx.get(&self.tables.repositories, key).is_some() {
                return Ok::<_, Error>(());
            }
            let template = template.as_deref();
            let lifecycle = template.and_then(|template| template.lifecycle.clone());
            let row = Repository {
                created_at: tx.now(),
                mutability: template.map(|row| row.mutability.clone()).unwrap_or_default(),
                encryption: template.map(|row| row.encryption.clone()).unwrap_or_default(),
                scan_on_push: false,
                tags: template.map(|row| BTreeMap::clone(&row.tags)).unwrap_or_default(),
                policy: template.and_then(|row| row.policy.clone()),
                lifecycle: lifecycle.map(|text| Lifecycle { text, evaluated_at: None }),
            };
            tx.put(&self.tables.repositories, key.clone(), row);
            Ok(())
        });
        done.await?;
        Ok(true)
    }
}
