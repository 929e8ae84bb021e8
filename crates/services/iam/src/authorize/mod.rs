//! Whether a caller may do what it asks for: the policies of users and of roles' sessions, on every
//! call, before anything is looked up.
//!
//! **Invariant:** an operation that is not in the table is closed to all that is evaluated.
//! **Invariant:** a role that was deleted lets nobody in: only one that never had a record is open.

mod dependents;
mod ecs;
mod keys;
mod table;
mod who;

use policy::{Context as Keys, Outcome, Request, decide};
use serde_json::Value;
use terms::{AccountId, Region};
use wire::{Context, Denied};

use crate::Iam;
use crate::model::Kind;
use ecs::Passed;
use table::{Place, Target, members};
pub(crate) use who::Who;

/// The condition keys of a call and its input.
pub(crate) fn global_keys(context: &Context, who: &Who, input: &Value) -> Keys {
    let mut keys = keys::global(context, &who.entity, who.session.as_deref());
    keys::of_input(&mut keys, context, input);
    keys
}

/// What is known of a resource that a call names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its whole ARN: names of secrets and families of task definitions are not.
    pub arn: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// Knows the resources of other services. Implemented by who has them.
pub trait Resources: Send + Sync + 'static {
    /// What is known of the resource that this ARN means: with a secret's name or a definition's
    /// family at its end, too.
    fn known(&self, account: &AccountId, region: &Region, arn: &str) -> Option<Known>;

    /// The roles that a task definition names, by its ARN, its family, or both with a revision.
    fn roles_of(&self, account: &AccountId, region: &Region, definition: &str) -> Vec<String>;
}

/// One call and its caller.
struct Call<'a> {
    context: &'a Context,
    who: &'a Who,
    keys: Keys,
}

impl Iam {
    /// Decides a call whose input was read.
    pub(crate) fn decide_call(
        &self,
        context: &Context,
        input: &dyn Fn() -> Value,
    ) -> Result<(), Denied> {
        // Who one is may always be asked; assuming a role is decided with the role's trust.
        if context.service == "sts"
            && matches!(context.operation, "GetCallerIdentity" | "AssumeRole")
        {
            return Ok(());
        }
        let Some(who) = self.who(context)? else { return Ok(()) };
        let input = input();
        let keys = global_keys(context, &who, &input);
        let call = Call { context, who: &who, keys };
        let caller = &context.caller;
        let place = Place {
            service: context.service,
            region: caller.region.as_str(),
            account: caller.account.as_str(),
        };
        let action = format!("{}:{}", prefix(context.service), context.operation);
        let Some(targets) = table::targets(place, context.operation, &input) else {
            let text = "because Longshore knows no resources of this operation";
            return Err(Denied(format!(
                "User: {} is not authorized to perform: {action} on resource: * {text}",
                caller.arn
            )));
        };
        let mut own = None;
        for target in targets {
            let target = self.whole(&call, target);
            self.check(&call, &action, &target, &input)?;
            own.get_or_insert(target.resource);
        }
        self.dependents(&call, &input, own.as_deref().unwrap_or("*"))
    }

    /// What the call needs besides its own action.
    fn dependents(&self, call: &Call<'_>, input: &Value, own: &str) -> Result<(), Denied> {
        let context = call.context;
        if context.service == "ecs"
            && let Some(resource) = ecs::tagged(context, input, own)
        {
            let mut tagging = Call { keys: call.keys.clone(), ..*call };
            tagging.keys.set("ecs:CreateAction", context.operation);
            let target = Target { resource, or: None };
            self.check(&tagging, "ecs:TagResource", &target, input)?;
        }
        for (action, resource) in dependents::others(context, input) {
            let target = self.whole(call, Target { resource, or: None });
            self.check(call, action, &target, input)?;
        }
        for Passed { role, service } in self.passed(context, input) {
            let mut passing = Call { keys: call.keys.clone(), ..*call };
            passing.keys.set("iam:PassedToService", service);
            let target = Target { resource: self.passed_arn(context, &role)?, or: None };
            self.check(&passing, "iam:PassRole", &target, input)?;
        }
        Ok(())
    }

    /// The roles that a call hands on.
    fn passed(&self, context: &Context, input: &Value) -> Vec<Passed> {
        let all = |member: &str, service| -> Vec<Passed> {
            members(input, member).into_iter().map(|role| Passed { role, service }).collect()
        };
        match (context.service, context.operation) {
            ("ecs", operation) => {
                let mut roles = ecs::passed(operation, input);
                if let Some(definition) = ecs::starts(operation, input) {
                    roles.extend(self.roles_of_definition(context, &definition));
                }
                roles
            }
            ("events", "PutTargets") => {
                let mut roles = all("Targets.RoleArn", "events.amazonaws.com");
                // The rule starts tasks in the name of whoever made it.
                for definition in members(input, dependents::STARTED_BY_RULES) {
                    roles.extend(self.roles_of_definition(context, &definition));
                }
                roles
            }
            ("events", "PutRule") => all("RoleArn", "events.amazonaws.com"),
            ("iam", "AddRoleToInstanceProfile") => all("RoleName", "ec2.amazonaws.com"),
            _ => Vec::new(),
        }
    }

    fn roles_of_definition(&self, context: &Context, definition: &str) -> Vec<Passed> {
        let (caller, service) = (&context.caller, ecs::OF_TASKS);
        let Some(resources) = self.resources.get() else { return Vec::new() };
        let named = resources.roles_of(&caller.account, &caller.region, definition);
        named.into_iter().map(|role| Passed { role, service }).collect()
    }

    /// The ARN of a role that is handed on, from its ARN or its name. It must have a record: one
    /// without is open, which is for those who may do everything to hand out.
    fn passed_arn(&self, context: &Context, role: &str) -> Result<String, Denied> {
        let account = &context.caller.account;
        let whole = match role.starts_with("arn:") {
            true => role.to_owned(),
            false => format!("arn:aws:iam::{account}:role/{role}"),
        };
        // By its name, as tasks find it: a path that is not the role's own does not count.
        self.of_iam(account, &whole).ok_or_else(|| {
            let caller = &context.caller.arn;
            Denied(format!(
                "User: {caller} is not authorized to perform: iam:PassRole on resource: {whole} \
                 because IAM has no such role in this account"
            ))
        })
    }

    /// The target with its whole ARN: paths of IAM's entities, and what their owners know.
    fn whole(&self, call: &Call<'_>, target: Target) -> Target {
        let caller = &call.context.caller;
        let account = &caller.account;
        if call.context.service == "iam" {
            let is_user_call = call.who.entity.kind == Kind::User
                && matches!(
                    call.context.operation,
                    "GetUser"
                        | "CreateAccessKey"
                        | "ListAccessKeys"
                        | "UpdateAccessKey"
                        | "DeleteAccessKey"
                );
            if target.resource == "*" && is_user_call {
                return Target { resource: call.who.entity.arn(account), or: None };
            }
            let resource = self.of_iam(account, &target.resource).unwrap_or(target.resource);
            return Target { resource, ..target };
        }
        let known = self
            .resources
            .get()
            .and_then(|known| known.known(account, &caller.region, &target.resource));
        match known {
            Some(known) => Target { resource: known.arn, ..target },
            None => target,
        }
    }

    /// The ARN of the user, group or role that the last part of this one names.
    fn of_iam(&self, account: &AccountId, arn: &str) -> Option<String> {
        let rest = arn.strip_prefix(&format!("arn:aws:iam::{account}:"))?;
        let (kind, path) = rest.split_once('/')?;
        let kind = match kind {
            "user" => Kind::User,
            "group" => Kind::Group,
            "role" => Kind::Role,
            _ => return None,
        };
        let name = path.rsplit('/').next()?;
        let entity = self.entity(&self.ledger.snapshot(), account, kind, name).ok()?;
        Some(entity.arn(account))
    }

    /// Decides one action on one resource.
    fn check(
        &self,
        call: &Call<'_>,
        action: &str,
        target: &Target,
        input: &Value,
    ) -> Result<(), Denied> {
        let caller = &call.context.caller;
        let mut keys = call.keys.clone();
        for (key, value) in self.tags_of(call, &target.resource, input) {
            keys.set_tag("aws:ResourceTag/", &key, value.as_str());
            let own = format!("{}:ResourceTag/", prefix(call.context.service));
            keys.set_tag(&own, &key, value);
        }
        let sets = call.who.sets();
        let ask = |resource: &str| {
            let owner = resource.split(':').nth(4).filter(|owner| !owner.is_empty());
            let owner = owner.filter(|owner| *owner != "aws").unwrap_or(caller.account.as_str());
            let principal = &call.who.principal;
            decide(&Request { principal, action, resource, owner, context: &keys }, &sets)
        };
        let mut decision = ask(&target.resource);
        if decision.outcome == Outcome::ImplicitDeny
            && let Some(or) = &target.or
        {
            let other = ask(or);
            if other.outcome != Outcome::ImplicitDeny {
                decision = other;
            }
        }
        if decision.is_allowed() {
            return Ok(());
        }
        let message = decision.message(&caller.arn, action, &target.resource, &sets);
        tracing::info!(caller = %caller.arn, action, resource = %target.resource, "denied");
        Err(Denied(message))
    }

    /// The tags of what a call is about; what it makes has those that it is made with.
    fn tags_of(&self, call: &Call<'_>, resource: &str, input: &Value) -> Vec<(String, String)> {
        let caller = &call.context.caller;
        let known = self
            .resources
            .get()
            .and_then(|known| known.known(&caller.account, &caller.region, resource));
        match known {
            Some(known) => known.tags,
            None if call.context.operation.starts_with("Create") => keys::tags(input),
            None => self.tags_in_iam(&caller.account, resource),
        }
    }

    fn tags_in_iam(&self, account: &AccountId, arn: &str) -> Vec<(String, String)> {
        let rest = arn.strip_prefix(&format!("arn:aws:iam::{account}:"));
        let Some((kind, path)) = rest.and_then(|rest| rest.split_once('/')) else {
            return Vec::new();
        };
        let kind = match kind {
            "user" => Kind::User,
            "role" => Kind::Role,
            _ => return Vec::new(),
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let entity = self.entity(&self.ledger.snapshot(), account, kind, name);
        entity.map(|entity| entity.tags.into_iter().collect()).unwrap_or_default()
    }
}

/// What a service's actions begin with.
fn prefix(service: &str) -> &str {
    if service == "monitoring" { "cloudwatch" } else { service }
}
