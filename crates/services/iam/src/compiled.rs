//! The policies of an identity, compiled once and kept until something of IAM's changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ledger::View;
use parking_lot::Mutex;
use policy::{Kind as DocumentKind, Policy, Source};
use terms::AccountId;

use crate::model::{Entity, Kind};
use crate::tables::entity_key;
use crate::{Iam, managed};

/// Most identities whose policies are kept compiled.
const KEPT_MAX: usize = 4096;

/// Where a policy of an identity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    User,
    Group,
    Role,
    OfAws,
    OfAccount,
}

/// All policies of an identity.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) identity: Vec<Source>,
    /// For each of `identity`.
    pub(crate) origins: Vec<Origin>,
    pub(crate) boundary: Option<Source>,
    /// The condition keys that any of them asks for, in lower case.
    pub(crate) asked: Arc<[String]>,
}

/// The condition keys that policies ask for.
fn asked<'a>(sources: impl Iterator<Item = &'a Source>) -> Arc<[String]> {
    let keys: BTreeSet<String> = sources.flat_map(|source| source.policy.keys()).collect();
    keys.into_iter().collect()
}

/// What was compiled, of one generation.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    generation: u64,
    by_id: HashMap<String, Arc<Compiled>>,
}

/// Shared by all clones.
pub(crate) type Cache = Arc<Mutex<Kept>>;

/// A document, compiled. One that is no policy denies everything: better than to guess.
pub(crate) fn compile(document: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(document, DocumentKind::Identity).unwrap_or_else(|error| {
        tracing::error!(%error, "a stored policy is none; it denies everything");
        deny_all()
    }))
}

fn deny_all() -> Policy {
    let text =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    Policy::parse(text, DocumentKind::Identity).unwrap_or_else(|_| Policy::empty())
}

impl Iam {
    /// The policies of a user or role as they are now.
    pub(crate) fn compiled(
        &self,
        view: &impl View,
        account: &AccountId,
        entity: &Entity,
    ) -> Arc<Compiled> {
        let generation = view.get(&self.tables.generation, &()).map_or(0, |row| row.0);
        {
            let mut kept = self.cache.lock();
            if kept.generation != generation || kept.by_id.len() > KEPT_MAX {
                *kept = Kept { generation, by_id: HashMap::new() };
            }
            if let Some(found) = kept.by_id.get(&entity.id) {
                return found.clone();
            }
        }
        let compiled = Arc::new(self.compile_entity(view, account, entity));
        let mut kept = self.cache.lock();
        if kept.generation == generation {
            kept.by_id.insert(entity.id.clone(), compiled.clone());
        }
        compiled
    }

    fn compile_entity(&self, view: &impl View, account: &AccountId, entity: &Entity) -> Compiled {
        let mut compiled = Compiled::default();
        self.add_own(view, account, entity, &mut compiled);
        for group in &entity.groups {
            let key = entity_key(account, Kind::Group, group);
            if let Some(group) = view.get(&self.tables.entities, &key) {
                self.add_own(view, account, &group, &mut compiled);
            }
        }
        compiled.boundary = entity.boundary.as_ref().map(|arn| self.managed(view, account, arn));
        compiled.asked = asked(compiled.identity.iter().chain(&compiled.boundary));
        compiled
    }

    fn add_own(
        &self,
        view: &impl View,
        account: &AccountId,
        entity: &Entity,
        compiled: &mut Compiled,
    ) {
        let origin = match entity.kind {
            Kind::User => Origin::User,
            Kind::Group => Origin::Group,
            Kind::Role => Origin::Role,
        };
        for (name, document) in &entity.inline {
            let policy = compile(document);
            compiled.identity.push(Source { name: name.clone(), arn: None, policy });
            compiled.origins.push(origin);
        }
        for arn in &entity.attached {
            compiled.identity.push(self.managed(view, account, arn));
            let is_aws = managed::find(arn).is_some();
            compiled.origins.push(if is_aws { Origin::OfAws } else { Origin::OfAccount });
        }
    }

    /// A managed policy, compiled; one that is not there any more denies everything.
    pub(crate) fn managed(&self, view: &impl View, account: &AccountId, arn: &str) -> Source {
        let document = self.document(view, account, arn);
        let policy = document.map_or_else(|| Arc::new(deny_all()), |document| compile(&document));
        let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
        Source { name, arn: Some(arn.to_owned()), policy }
    }
}
