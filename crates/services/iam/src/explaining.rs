//! Why somebody may or may not do something, told for people: with the policies and the engine that
//! decide real calls.

use policy::{Context as Keys, PolicySets, Principal, PrincipalKind, Request, Source, decide};
use serde_json::{Value, json};
use terms::AccountId;

use crate::authenticator::administrator_arn;
use crate::authorize::owner_of;
use crate::compiled::Compiled;
use crate::model::{Entity, Kind};
use crate::{Iam, denial};

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// The ARN of a user, a role, or a role's session.
    pub principal: String,
    /// Such as `ecs:RunTask`.
    pub action: String,
    /// The resource's ARN, or `*`.
    pub resource: String,
    /// Condition keys and their values.
    pub keys: Vec<(String, Vec<String>)>,
}

impl Iam {
    /// What policies of the principal say of the action now, as JSON: `decision`, `sentence`, `policies`
    /// that were asked, `detail` as `sts:DecodeAuthorizationMessage` tells it, `missingKeys` that
    /// policies ask for and the question does not have. Those of the resource itself are among
    /// them. Policies that a session was made with are not known here, nor is a role's trust asked.
    ///
    /// # Errors
    /// A sentence, if the principal is none of the account, or is not decided on by policies.
    pub fn explain(&self, account: &AccountId, question: &Question) -> Result<Value, String> {
        let Question { principal: arn, action, .. } = question;
        let resource = &self.whole_arn(account, &question.resource);
        if *arn == administrator_arn(account) {
            return Err("the administrator may do everything: no policy is asked".to_owned());
        }
        if arn.contains(":user/node/") {
            let text = "a container instance's key may do what agents need, on its own instance, and \
                        no policy is asked; see docs/guides/roles.md";
            return Err(text.to_owned());
        }
        let view = self.ledger.snapshot();
        let entity = self.entity_behind(account, arn)?;
        let compiled = self.compiled(&view, account, &entity);
        let of_resource = self.policies_of(resource);
        let owner = owner_of(resource).unwrap_or(account.as_str());
        let keys = self.keys_of((account, owner), &entity, question);
        let kind = match entity.kind {
            Kind::User => PrincipalKind::User,
            Kind::Role | Kind::Group => PrincipalKind::RoleSession,
        };
        let principal = Principal {
            kind,
            account: account.to_string(),
            arn: arn.clone(),
            entity_arn: entity.arn(account),
            entity_id: entity.id.clone(),
        };
        let sets = PolicySets {
            identity: &compiled.identity,
            boundary: compiled.boundary.as_ref(),
            resource: &of_resource,
            ..PolicySets::default()
        };
        let request = Request { principal: &principal, action, resource, owner, context: &keys };
        let decision = decide(&request, &sets);
        let sentence = match decision.is_allowed() {
            true => format!("{arn} may perform {action} on {resource}"),
            false => decision.message(arn, action, resource, &sets),
        };
        let word = match decision.outcome {
            policy::Outcome::Allowed => "allowed",
            policy::Outcome::ExplicitDeny => "explicitDeny",
            policy::Outcome::ImplicitDeny => "implicitDeny",
        };
        Ok(json!({
            "principal": arn,
            "action": action,
            "resource": resource,
            "decision": word,
            "decidedBy": denial::by(&sets, &decision),
            "sentence": sentence,
            "policies": policies(&compiled, &of_resource),
            "missingKeys": missing(&compiled, &of_resource, &keys),
            "detail": denial::told(&request, &sets, &decision),
        }))
    }

    /// The whole ARN of what a question's resource means, if its service knows it.
    fn whole_arn(&self, account: &AccountId, resource: &str) -> String {
        let region = resource.split(':').nth(3).and_then(|region| region.parse().ok());
        let known = region.zip(self.resources.get());
        let whole = known.and_then(|(region, known)| known.whole(account, &region, resource));
        whole.unwrap_or_else(|| resource.to_owned())
    }

    /// The user or role behind an ARN.
    fn entity_behind(&self, account: &AccountId, arn: &str) -> Result<Entity, String> {
        let none = || format!("IAM has no '{arn}' in the account {account}");
        let view = self.ledger.snapshot();
        let (kind, name) = if let Some(rest) =
            arn.strip_prefix(&format!("arn:aws:sts::{account}:assumed-role/"))
        {
            (Kind::Role, rest.split('/').next().unwrap_or_default())
        } else {
            let rest = arn.strip_prefix(&format!("arn:aws:iam::{account}:")).ok_or_else(none)?;
            let name = rest.rsplit('/').next().unwrap_or_default();
            match rest.split('/').next() {
                Some("user") => (Kind::User, name),
                Some("role") => (Kind::Role, name),
                _ => return Err(none()),
            }
        };
        self.entity(&view, account, kind, name).map_err(|_| none())
    }

    /// The keys that were given, and those that follow from who it is.
    fn keys_of(
        &self,
        (account, owner): (&AccountId, &str),
        entity: &Entity,
        question: &Question,
    ) -> Keys {
        let mut keys = Keys::default();
        keys.set("aws:PrincipalArn", entity.arn(account));
        keys.set("aws:PrincipalAccount", account.as_str());
        keys.set("aws:ResourceAccount", owner);
        if entity.kind == Kind::User {
            keys.set("aws:username", entity.name.as_str());
            keys.set("aws:userid", entity.id.as_str());
        }
        for (key, value) in &entity.tags {
            keys.set_tag("aws:PrincipalTag/", key, value.as_str());
        }
        let now = self.ledger.clock().now();
        keys.set("aws:CurrentTime", now.to_string());
        keys.set("aws:EpochTime", now.seconds().to_string());
        for (key, values) in &question.keys {
            match values.as_slice() {
                [one] => keys.set(key, one.as_str()),
                several => keys.set_list(key, several.to_vec()),
            }
        }
        keys
    }
}

fn named(source: &Source) -> &str {
    source.arn.as_deref().unwrap_or(&source.name)
}

/// The policies that are asked, by their sets.
fn policies(compiled: &Compiled, of_resource: &[Source]) -> Value {
    json!({
        "identity": compiled.identity.iter().map(named).collect::<Vec<_>>(),
        "boundary": compiled.boundary.as_ref().map(named),
        "resource": of_resource.iter().map(named).collect::<Vec<_>>(),
    })
}

/// The keys that policies ask for and the question does not have.
fn missing(compiled: &Compiled, of_resource: &[Source], keys: &Keys) -> Vec<String> {
    let all = compiled.identity.iter().chain(&compiled.boundary).chain(of_resource);
    let mut wanted: Vec<String> = all.flat_map(|source| source.policy.keys()).collect();
    wanted.retain(|key| keys.get(key).is_none());
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}
