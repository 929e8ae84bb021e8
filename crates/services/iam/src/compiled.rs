//! The policies of an identity, compiled once and kept until something of IAM's changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ledger::View;
use parking_lot::Mutex;
use policy::{Kind as DocumentKind, Policy, Principal, PrincipalKind, Source};
use terms::AccountId;

use crate::directory::by_id;
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
    /// Of a role: who may have it.
    pub(crate) trust: Option<Source>,
    /// The condition keys that any of them asks for, in lower case; those of the trust apart.
    pub(crate) asked: Arc<[String]>,
}

impl Compiled {
    /// Policies of no identity's record: they count as AWS's own.
    pub(crate) fn of(identity: Vec<Source>) -> Self {
        let (origins, asked) = (vec![Origin::OfAws; identity.len()], asked(identity.iter()));
        Self { identity, origins, asked, ..Self::default() }
    }
}

/// The condition keys that policies ask for.
fn asked<'a>(sources: impl Iterator<Item = &'a Source>) -> Arc<[String]> {
    let keys: BTreeSet<String> = sources.flat_map(|source| source.policy.keys()).collect();
    keys.into_iter().collect()
}

/// A user or role with all that its calls are decided by.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) entity: Arc<Entity>,
    pub(crate) compiled: Arc<Compiled>,
    /// The entity as a caller; a session of a role has another ARN.
    pub(crate) principal: Arc<Principal>,
}

/// What was compiled, of one generation.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    generation: u64,
    by_id: HashMap<String, Arc<Known>>,
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

/// Most policies of resources that are kept compiled.
const OF_RESOURCES_MAX: usize = 1024;

/// Policies of resources, compiled, by their texts.
pub(crate) type OfResources = Arc<Mutex<HashMap<String, Arc<Policy>>>>;

/// A policy of a resource, compiled. One that is none denies everything to everybody.
fn compile_of_resource(document: &str) -> Policy {
    Policy::parse(document, DocumentKind::Resource).unwrap_or_else(|error| {
        tracing::error!(%error, "a stored policy of a resource is none; it denies everything");
        let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;
        Policy::parse(text, DocumentKind::Resource).unwrap_or_else(|_| Policy::empty())
    })
}

/// A role's trust, compiled; one that is no policy trusts nobody.
fn trust(document: &str) -> Source {
    let policy = Policy::parse(document, DocumentKind::Trust).unwrap_or_else(|error| {
        tracing::error!(%error, "a stored trust policy is none; it trusts nobody");
        Policy::empty()
    });
    Source { name: "trust".to_owned(), arn: None, policy: Arc::new(policy) }
}

fn deny_all() -> Policy {
    let text =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    Policy::parse(text, DocumentKind::Identity).unwrap_or_else(|_| Policy::empty())
}

impl Iam {
    /// The user or role with this unique id, as it is now.
    pub(crate) fn known(
        &self,
        view: &impl View,
        account: &AccountId,
        id: &str,
    ) -> Option<Arc<Known>> {
        self.known_or(view, account, id, || Some(by_id(&self.tables, view, id)?.1))
    }

    /// The same of an entity that was read.
    pub(crate) fn known_of(
        &self,
        view: &impl View,
        account: &AccountId,
        entity: &Arc<Entity>,
    ) -> Arc<Known> {
        let known = self.known_or(view, account, &entity.id, || Some(Arc::clone(entity)));
        known.unwrap_or_else(|| Arc::new(self.knowing(view, account, Arc::clone(entity))))
    }

    /// What is kept of an id, or is made of the entity that `read` finds. Kept is what no change of
    /// IAM's has come after.
    fn known_or(
        &self,
        view: &impl View,
        account: &AccountId,
        id: &str,
        read: impl FnOnce() -> Option<Arc<Entity>>,
    ) -> Option<Arc<Known>> {
        let generation = view.get(&self.tables.generation, &()).map_or(0, |row| row.0);
        {
            let mut kept = self.cache.lock();
            if kept.generation != generation || kept.by_id.len() > KEPT_MAX {
                *kept = Kept { generation, by_id: HashMap::new() };
            }
            if let Some(found) = kept.by_id.get(id) {
                return Some(Arc::clone(found));
            }
        }
        let known = Arc::new(self.knowing(view, account, read()?));
        let mut kept = self.cache.lock();
        if kept.generation == generation {
            kept.by_id.insert(id.to_owned(), Arc::clone(&known));
        }
        Some(known)
    }

    fn knowing(&self, view: &impl View, account: &AccountId, entity: Arc<Entity>) -> Known {
        let compiled = Arc::new(self.compile_entity(view, account, &entity));
        let (kind, arn) = (entity.kind, entity.arn(account));
        let principal = Principal {
            kind: match kind {
                Kind::User => PrincipalKind::User,
                Kind::Role | Kind::Group => PrincipalKind::RoleSession,
            },
            account: account.to_string(),
            arn: arn.clone(),
            entity_arn: arn,
            entity_id: entity.id.clone(),
        };
        Known { entity, compiled, principal: Arc::new(principal) }
    }

    /// The policies of a user or role as they are now.
    pub(crate) fn compiled(
        &self,
        view: &impl View,
        account: &AccountId,
        entity: &Entity,
    ) -> Arc<Compiled> {
        let read = || Some(Arc::new(entity.clone()));
        match self.known_or(view, account, &entity.id, read) {
            Some(known) => Arc::clone(&known.compiled),
            None => Arc::new(self.compile_entity(view, account, entity)),
        }
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
        compiled.trust = entity.role.as_ref().map(|role| trust(&role.trust));
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

    /// The policies of a resource by what they are called, compiled.
    pub(crate) fn of_resource(&self, policies: Vec<(String, String)>) -> Vec<Source> {
        let compiled = |text: String| {
            let mut kept = self.of_resources.lock();
            if let Some(found) = kept.get(&text) {
                return Arc::clone(found);
            }
            if kept.len() >= OF_RESOURCES_MAX {
                kept.clear();
            }
            let policy = Arc::new(compile_of_resource(&text));
            kept.insert(text, Arc::clone(&policy));
            policy
        };
        let source = |(name, text)| Source { name, arn: None, policy: compiled(text) };
        policies.into_iter().map(source).collect()
    }

    /// A managed policy, compiled; one that is not there any more denies everything.
    pub(crate) fn managed(&self, view: &impl View, account: &AccountId, arn: &str) -> Source {
        let document = self.document(view, account, arn);
        let policy = document.map_or_else(|| Arc::new(deny_all()), |document| compile(&document));
        let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
        Source { name, arn: Some(arn.to_owned()), policy }
    }
}
