//! Who calls, with all policies that limit it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::View;
use policy::{PolicySets, Principal, PrincipalKind, Request, Source, decide};
use terms::{AccountId, Timestamp};
use wire::{Caller, CallerKind, Context, Denied, RoleSession};

use crate::Iam;
use crate::compiled::{Compiled, Origin, compile};
use crate::directory::by_id;
use crate::managed;
use crate::model::{Entity, Kind};
use crate::tables::entity_key;

/// A caller that is evaluated.
pub(crate) struct Who {
    pub(crate) principal: Principal,
    /// The user, or the session's role.
    pub(crate) entity: Arc<Entity>,
    pub(crate) session: Option<Arc<RoleSession>>,
    pub(crate) compiled: Arc<Compiled>,
    /// What the session was made with, if that limits it.
    limits: Option<Vec<Source>>,
}

impl Who {
    /// The condition keys that its policies ask for; none if those of a session may ask for any.
    pub(super) fn asked(&self) -> Option<&Arc<[String]>> {
        self.limits.is_none().then_some(&self.compiled.asked)
    }

    /// The policies, without those of a resource.
    pub(crate) fn sets(&self) -> PolicySets<'_> {
        PolicySets {
            identity: &self.compiled.identity,
            boundary: self.compiled.boundary.as_ref(),
            session: self.limits.as_deref(),
            resource: None,
            needs_resource: false,
        }
    }
}

impl Iam {
    /// The caller of a request; none if it is one that may do everything. What is no more may do
    /// nothing.
    pub(crate) fn who(&self, context: &Context) -> Result<Option<Who>, Denied> {
        self.who_is(&context.caller)
    }

    /// The same of a caller alone.
    fn who_is(&self, caller: &Caller) -> Result<Option<Who>, Denied> {
        let view = self.ledger.snapshot();
        let gone = || Denied::new(format!("User: {} is not there any more", caller.arn));
        let (entity, session) = match &caller.kind {
            CallerKind::Operator | CallerKind::Open | CallerKind::Node { .. } => return Ok(None),
            CallerKind::Anonymous => return Err(Denied::new("User: anonymous is not authorized")),
            CallerKind::User(id) => {
                let (_, user) = by_id(&self.tables, &view, id).ok_or_else(gone)?;
                (user, None)
            }
            CallerKind::UserSession(session) => {
                let (_, user) = by_id(&self.tables, &view, &session.user_id).ok_or_else(gone)?;
                (user, None)
            }
            CallerKind::Federated(session) => {
                return self.federated(caller, session, &view).map(Some);
            }
            CallerKind::Role(session) => {
                let (_, role) = by_id(&self.tables, &view, &session.role_id).ok_or_else(gone)?;
                (role, Some(session.clone()))
            }
            CallerKind::Task { .. } => {
                let role = caller.arn.split('/').nth(1).unwrap_or_default();
                let key = entity_key(&caller.account, Kind::Role, role);
                if let Some(role) = view.get(&self.tables.entities, &key) {
                    (Arc::clone(role.value()), None)
                } else if view.get(&self.tables.gone_roles, &key).is_some() {
                    return Err(gone());
                } else {
                    self.warn_of_unknown(&caller.account, role);
                    return Ok(None);
                }
            }
        };
        let compiled = self.compiled(&view, &caller.account, &entity);
        let limits =
            session.as_ref().and_then(|session| self.limits(&view, &caller.account, session));
        let kind = match entity.kind {
            Kind::User => PrincipalKind::User,
            Kind::Role | Kind::Group => PrincipalKind::RoleSession,
        };
        let principal = principal(caller, &entity, kind);
        Ok(Some(Who { principal, entity, session, compiled, limits }))
    }

    /// Whether policies let a caller use a route of the server's own: `longshore:AuditVerify` for
    /// `/_longshore/audit/verify`.
    pub(crate) fn may_use(&self, caller: &Caller, prefix: &str) -> bool {
        let Ok(Some(who)) = self.who_is(caller) else { return false };
        let mut keys = policy::Context::default();
        keys.set("aws:PrincipalArn", who.entity.arn(&caller.account));
        keys.set("aws:PrincipalAccount", caller.account.as_str());
        let (action, owner) = (route_action(prefix), caller.account.as_str());
        let principal = &who.principal;
        let request = Request { principal, action: &action, resource: "*", owner, context: &keys };
        decide(&request, &who.sets()).is_allowed()
    }

    /// A federated user: as far as both its maker's policies and its own go.
    fn federated(
        &self,
        caller: &Caller,
        session: &Arc<RoleSession>,
        view: &impl View,
    ) -> Result<Who, Denied> {
        let mut who = match by_id(&self.tables, view, &session.role_id) {
            Some((_, user)) => {
                let compiled = self.compiled(view, &caller.account, &user);
                let principal = principal(caller, &user, PrincipalKind::FederatedUser);
                Who { principal, entity: user, session: None, compiled, limits: None }
            }
            // Made by the administrator; that there is one was seen when the key was looked up.
            None => {
                let mut who = as_administrator(caller);
                who.principal.kind = PrincipalKind::FederatedUser;
                who.principal.entity_arn.clone_from(&session.role_arn);
                who
            }
        };
        // Without policies of its own it may do nothing, whatever its maker may.
        who.limits = Some(self.limits(view, &caller.account, session).unwrap_or_default());
        who.session = Some(Arc::clone(session));
        Ok(who)
    }

    /// The same of a caller that may do everything: as if it had `AdministratorAccess`.
    pub(crate) fn administrator_or(&self, context: &Context) -> Result<Who, Denied> {
        match self.who(context)? {
            Some(who) => Ok(who),
            None => Ok(as_administrator(&context.caller)),
        }
    }

    fn limits(
        &self,
        view: &impl View,
        account: &AccountId,
        session: &RoleSession,
    ) -> Option<Vec<Source>> {
        if session.policies.is_empty() && session.policy_arns.is_empty() {
            return None;
        }
        let inline = session.policies.iter().map(|document| Source {
            name: "session".to_owned(),
            arn: None,
            policy: compile(document),
        });
        let managed = session.policy_arns.iter().map(|arn| self.managed(view, account, arn));
        Some(inline.chain(managed).collect())
    }

    /// Roles without a record are open, as they were before there were records; each is warned of
    /// once.
    fn warn_of_unknown(&self, account: &AccountId, role: &str) {
        let mut warned = self.warned.lock();
        if warned.len() < WARNED_MAX && warned.insert(format!("{account}/{role}")) {
            tracing::warn!(
                role,
                "tasks have a role that IAM does not know: they may do everything"
            );
        }
    }
}

/// Most roles that are warned of.
const WARNED_MAX: usize = 1000;

/// What policies call a route: its words after `/_longshore/`, joined.
fn route_action(prefix: &str) -> String {
    let words = prefix.trim_start_matches("/_longshore").split(['/', '-', '_']);
    let mut action = "longshore:".to_owned();
    for word in words.filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        action.push_str(&first.to_ascii_uppercase());
        action.push_str(rest);
    }
    action
}

fn principal(caller: &Caller, entity: &Entity, kind: PrincipalKind) -> Principal {
    Principal {
        kind,
        account: caller.account.to_string(),
        arn: caller.arn.clone(),
        entity_arn: entity.arn(&caller.account),
        entity_id: entity.id.clone(),
    }
}

/// A caller as if it had `AdministratorAccess`.
fn as_administrator(caller: &Caller) -> Who {
    let is_task = matches!(caller.kind, CallerKind::Task { .. });
    let name = caller.arn.rsplit('/').next().unwrap_or_default().to_owned();
    let arn = "arn:aws:iam::aws:policy/AdministratorAccess";
    let identity: Vec<Source> = managed::find(arn)
        .map(|policy| Source {
            name: policy.name.to_owned(),
            arn: Some(arn.to_owned()),
            policy: compile(policy.document),
        })
        .into_iter()
        .collect();
    let origins = vec![Origin::OfAws; identity.len()];
    let entity = Arc::new(Entity {
        kind: if is_task { Kind::Role } else { Kind::User },
        id: caller.user_id.clone(),
        name,
        path: "/".to_owned(),
        created_at: Timestamp::from_millis(0),
        tags: BTreeMap::new(),
        inline: BTreeMap::new(),
        attached: BTreeSet::new(),
        boundary: None,
        groups: BTreeSet::new(),
        role: None,
    });
    let principal = Principal {
        kind: if is_task { PrincipalKind::RoleSession } else { PrincipalKind::User },
        account: caller.account.to_string(),
        arn: caller.arn.clone(),
        entity_arn: caller.arn.clone(),
        entity_id: caller.user_id.clone(),
    };
    let compiled = Arc::new(Compiled { identity, origins, ..Compiled::default() });
    Who { principal, entity, session: None, compiled, limits: None }
}
