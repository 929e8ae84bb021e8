//! The order of evaluation: explicit denials, the policies of the resource, of the identity, its
//! boundary, its session; in one account and across two.

use std::sync::Arc;

use crate::principal::Class;
use crate::statement::{Asked, Statement};
use crate::{Context, Effect, Policy, Principal, PrincipalKind};

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// Such as `ecs:RunTask`; in any case.
    pub action: &'a str,
    /// The resource's ARN, or `*` for actions that have none.
    pub resource: &'a str,
    /// The account that the resource is of.
    pub owner: &'a str,
    /// The condition keys.
    pub context: &'a Context,
}

/// A policy and what it is called.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, for people.
    pub name: String,
    /// Its ARN, if it is a managed policy.
    pub arn: Option<String>,
    /// The document.
    pub policy: Arc<Policy>,
}

/// The policies that bear on a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicySets<'a> {
    /// Of the user and its groups, or of the role.
    pub identity: &'a [Source],
    /// The identity's boundary.
    pub boundary: Option<&'a Source>,
    /// What the session was made with; none means no limits of the session's own.
    pub session: Option<&'a [Source]>,
    /// The resource's policies, or the role's trust policy.
    pub resource: &'a [Source],
    /// Whether the resource's policy must allow, too: assuming a role.
    pub needs_resource: bool,
}

impl<'a> PolicySets<'a> {
    /// The policy that a match is in.
    pub fn source(&self, found: crate::Match) -> Option<&'a Source> {
        sources(self, found.set).get(found.source)
    }
}

/// Which of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// [`PolicySets::identity`].
    Identity,
    /// [`PolicySets::boundary`].
    Boundary,
    /// [`PolicySets::session`].
    Session,
    /// [`PolicySets::resource`].
    Resource,
}

/// A statement: which set, which policy of it, which statement of that; all count from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The set.
    pub set: Set,
    /// The policy in the set.
    pub source: usize,
    /// The statement in the policy.
    pub statement: usize,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The request may go on.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// Nothing allows it.
    ImplicitDeny,
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// This statement allows.
    Allowed(Match),
    /// This statement denies.
    Denied(Match),
    /// These policies do not allow.
    Missing(Set),
    /// No policy is asked: the account itself, or who one is.
    Unasked,
}

/// A decision and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
}

impl Decision {
    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    fn allowed(cause: Cause) -> Self {
        Self { outcome: Outcome::Allowed, cause }
    }

    fn missing(set: Set) -> Self {
        Self { outcome: Outcome::ImplicitDeny, cause: Cause::Missing(set) }
    }
}

/// What a set of policies says of a request.
#[derive(Debug, Default, Clone, Copy)]
struct Verdict {
    denied: Option<Match>,
    allowed: Option<(Class, Match)>,
}

impl Verdict {
    fn note(&mut self, statement: &Statement, class: Class, found: Match) {
        match statement.effect {
            Effect::Deny => {
                self.denied.get_or_insert(found);
            }
            Effect::Allow => {
                if self.allowed.is_none_or(|(best, _)| class < best) {
                    self.allowed = Some((class, found));
                }
            }
        }
    }
}

/// The policies of one set.
fn sources<'a>(sets: &PolicySets<'a>, set: Set) -> &'a [Source] {
    match set {
        Set::Identity => sets.identity,
        Set::Boundary => sets.boundary.map(std::slice::from_ref).unwrap_or_default(),
        Set::Session => sets.session.unwrap_or_default(),
        Set::Resource => sets.resource,
    }
}

const SETS: [Set; 4] = [Set::Identity, Set::Boundary, Set::Session, Set::Resource];

/// Looks at the statements that apply to the request, one by one; at those alone that `wants` lets
/// pass, which is asked first.
fn each_applying<Found>(
    (request, asked): (&Request<'_>, &Asked<'_>),
    sets: &PolicySets<'_>,
    set: Set,
    found: &mut Found,
    wants: impl Fn(&Found, &Statement) -> bool,
    on: impl Fn(&mut Found, &Statement, Class, Match),
) {
    let service = asked.service;
    for (source, policy) in sources(sets, set).iter().enumerate() {
        // Whether the actions of the statement before were meant, by what they are known by.
        let mut last = None;
        for (statement, compiled) in policy.policy.of_service(service) {
            if !wants(found, compiled) {
                continue;
            }
            let actions = policy.policy.actions(statement);
            let is_meant = match last {
                Some((known, is_meant)) if known == actions => is_meant,
                _ => compiled.actions.mean(asked),
            };
            last = Some((actions, is_meant));
            if !is_meant || !compiled.applies(asked) {
                continue;
            }
            let at = Match { set, source, statement };
            if set != Set::Resource {
                on(found, compiled, Class::Direct, at);
            } else if let Some(class) = compiled.class(request.principal) {
                on(found, compiled, class, at);
            }
        }
    }
}

/// What statements are asked: the action in lower case, in its two parts, and the resource's fields.
fn with_asked<T>(request: &Request<'_>, work: impl FnOnce(&Asked<'_>) -> T) -> T {
    let lower = request.action.to_ascii_lowercase();
    let (service, name) = lower.split_once(':').unwrap_or((&lower, ""));
    let resource = crate::Arn::new(request.resource);
    work(&Asked { service, name, resource: &resource, context: request.context })
}

fn verdict(asked: (&Request<'_>, &Asked<'_>), sets: &PolicySets<'_>, set: Set) -> Verdict {
    let mut verdict = Verdict::default();
    // Nothing allows more than what does directly.
    let wants = |verdict: &Verdict, statement: &Statement| {
        let is_best = verdict.allowed.is_some_and(|(class, _)| class == Class::Direct);
        statement.effect == Effect::Deny || !is_best
    };
    each_applying(asked, sets, set, &mut verdict, wants, Verdict::note);
    verdict
}

/// Every statement that applies to the request, whatever it does; for simulations and for people.
pub fn explain(request: &Request<'_>, sets: &PolicySets<'_>) -> Vec<Match> {
    let mut all = Vec::new();
    with_asked(request, |asked| {
        for set in SETS {
            let all = &mut all;
            each_applying(
                (request, asked),
                sets,
                set,
                all,
                |_, _| true,
                |all, _, _, at| all.push(at),
            );
        }
    });
    all
}

/// Decides (IAM User Guide, "Policy evaluation logic", without organisations).
pub fn decide(request: &Request<'_>, sets: &PolicySets<'_>) -> Decision {
    // Who one is may always be asked (STS API reference, GetCallerIdentity).
    if request.action.eq_ignore_ascii_case("sts:GetCallerIdentity") {
        return Decision::allowed(Cause::Unasked);
    }
    let verdicts =
        with_asked(request, |asked| SETS.map(|set| verdict((request, asked), sets, set)));
    if let Some(denied) = verdicts.iter().find_map(|verdict| verdict.denied) {
        return Decision { outcome: Outcome::ExplicitDeny, cause: Cause::Denied(denied) };
    }
    let [identity, boundary, session, resource] = verdicts.map(|verdict| verdict.allowed);
    let caller = request.principal;
    let is_foreign = match caller.kind {
        PrincipalKind::Service | PrincipalKind::WebIdentity | PrincipalKind::Anonymous => {
            // They have no side of their own: the resource's policy alone decides.
            return match resource {
                Some((Class::Direct, found)) => Decision::allowed(Cause::Allowed(found)),
                _ => Decision::missing(Set::Resource),
            };
        }
        PrincipalKind::Root
        | PrincipalKind::User
        | PrincipalKind::RoleSession
        | PrincipalKind::FederatedUser => request.owner != caller.account,
    };
    let missing_cap = missing_cap(sets, caller.kind, boundary.is_some(), session.is_some());
    let own = match (identity, missing_cap) {
        (Some((_, found)), None) => Decision::allowed(Cause::Allowed(found)),
        (None, _) => Decision::missing(Set::Identity),
        (Some(_), Some(set)) => Decision::missing(set),
    };
    let own = match caller.kind {
        PrincipalKind::Root => Decision::allowed(Cause::Unasked),
        _ => own,
    };
    if is_foreign {
        return if own.is_allowed() && resource.is_none() {
            Decision::missing(Set::Resource)
        } else {
            own
        };
    }
    if caller.kind == PrincipalKind::Root {
        return own;
    }
    match (resource, missing_cap) {
        (Some((Class::Direct, found)), _) => Decision::allowed(Cause::Allowed(found)),
        (Some((Class::Role | Class::FederatedUser, found)), None) => {
            Decision::allowed(Cause::Allowed(found))
        }
        (Some((Class::Role | Class::FederatedUser, _)), Some(set)) => Decision::missing(set),
        (None, _) if sets.needs_resource && own.is_allowed() => Decision::missing(Set::Resource),
        (Some((Class::Account, _)) | None, _) => own,
    }
}

/// Which limit of the identity or its session does not allow.
fn missing_cap(
    sets: &PolicySets<'_>,
    kind: PrincipalKind,
    boundary_allows: bool,
    session_allows: bool,
) -> Option<Set> {
    let needs_session = sets.session.is_some() || kind == PrincipalKind::FederatedUser;
    if sets.boundary.is_some() && !boundary_allows {
        Some(Set::Boundary)
    } else if needs_session && !session_allows {
        Some(Set::Session)
    } else {
        None
    }
}
