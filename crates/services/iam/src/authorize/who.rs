//! Who calls, with all policies that limit it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::View;
use policy::{PolicySets, Principal, PrincipalKind, Request, Source, decide};
use terms::{AccountId, Timestamp};
use wire::{Caller, CallerKind, Context, Denied, RoleSession};

use crate::Iam;
use crate::compiled::{Compiled, Known, compile};
use crate::directory::by_id;
use crate::managed;
use crate::model::{Entity, Kind};

/// A caller that is evaluated.
pub(crate) struct Who {
    pub(crate) principal: Arc<Principal>,
    /// The user, or the session's role.
    pub(crate) entity: Arc<Entity>,
    pub(crate) session: Option<Arc<RoleSession>>,
    pub(crate) compiled: Arc<Compiled>,
    /// Why its policies are none of a record's, for people: what its refusals tell.
    pub(super) because: Option<String>,
    /// What the session was made with, if that limits it.
    pub(super) limits: Option<Vec<Source>>,
}

impl Who {
    /// One with the policies of its identity alone.
    pub(super) fn of(principal: Principal, entity: Arc<Entity>, compiled: Arc<Compiled>) -> Self {
        let principal = Arc::new(principal);
        Self { principal, entity, session: None, compiled, because: None, limits: None }
    }

    /// A user, or a session of a role.
    pub(super) fn known(caller: &Caller, known: &Known) -> Self {
        let principal = match known.principal.arn == caller.arn {
            true => Arc::clone(&known.principal),
            false => {
                let own = Principal::clone(&known.principal);
                Arc::new(Principal { arn: caller.arn.clone(), ..own })
            }
        };
        let (entity, compiled) = (Arc::clone(&known.entity), Arc::clone(&known.compiled));
        Self { principal, entity, session: None, compiled, because: None, limits: None }
    }

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
            resource: &[],
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
        let known = |id: &str| self.known(&view, &caller.account, id).ok_or_else(gone);
        let (known, session) = match &caller.kind {
            CallerKind::Operator | CallerKind::Open | CallerKind::Node { .. } => return Ok(None),
            CallerKind::Server => return Err(gone()),
            CallerKind::Anonymous => return Err(Denied::new("User: anonymous is not authorized")),
            CallerKind::User(id) => (known(id)?, None),
            CallerKind::UserSession(session) => (known(&session.user_id)?, None),
            CallerKind::Federated(session) => {
                return self.federated(caller, session, &view).map(Some);
            }
            CallerKind::Role(session) => (known(&session.role_id)?, Some(session.clone())),
            CallerKind::Task { task_arn, is_execution } => {
                return self.task(caller, (task_arn, *is_execution), &view);
            }
        };
        let limits =
            session.as_ref().and_then(|session| self.limits(&view, &caller.account, session));
        Ok(Some(Who { session, limits, ..Who::known(caller, &known) }))
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
                Who::of(principal, user, compiled)
            }
            // Made by the administrator; that there is one was seen when the key was looked up.
            None => {
                let mut who = as_administrator(caller);
                let principal = Arc::make_mut(&mut who.principal);
                principal.kind = PrincipalKind::FederatedUser;
                principal.entity_arn.clone_from(&session.role_arn);
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
}

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

pub(super) fn principal(caller: &Caller, entity: &Entity, kind: PrincipalKind) -> Principal {
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
    let kind = if is_task { Kind::Role } else { Kind::User };
    let entity = Arc::new(stand_in(kind, &caller.user_id, &name));
    let principal = Principal {
        kind: if is_task { PrincipalKind::RoleSession } else { PrincipalKind::User },
        account: caller.account.to_string(),
        arn: caller.arn.clone(),
        entity_arn: caller.arn.clone(),
        entity_id: caller.user_id.clone(),
    };
    Who::of(principal, entity, Arc::new(Compiled::of(identity)))
}

/// A record of who has none.
pub(super) fn stand_in(kind: Kind, id: &str, name: &str) -> Entity {
    Entity {
        kind,
        id: id.to_owned(),
        name: name.to_owned(),
        path: "/".to_owned(),
        created_at: Timestamp::from_millis(0),
        tags: BTreeMap::new(),
        inline: BTreeMap::new(),
        attached: BTreeSet::new(),
        boundary: None,
        groups: BTreeSet::new(),
        role: None,
    }
}
