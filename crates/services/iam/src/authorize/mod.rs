//! Whether a caller may do what it asks for: the policies of users and of roles' sessions, on every
//! call, before anything is looked up.
//!
//! **Invariant:** an operation that is not in the table is closed to all that is evaluated.
//! **Invariant:** a role that IAM does not know, or that does not trust tasks, opens nothing to a
//! task: only an open server lets those through that it never knew.

mod dependents;
mod ecs;
mod keys;
mod table;
mod tasks;
mod who;

use std::borrow::Cow;
use std::sync::Arc;

use policy::{Context as Keys, Outcome, PolicySets, Request, Source, decide};
use serde_json::Value;
use terms::{AccountId, Region};
use wire::{Context, Decided, Denied, ErrorModel};

use crate::authenticator::is_session_of_user;
use crate::model::Kind;
use crate::{Iam, denial};
use ecs::Passed;
use table::{Place, Target, members};
pub use tasks::RoleOfTask;
pub(crate) use who::Who;

/// The condition keys of a call and its input.
pub(crate) fn global_keys(context: &Context, who: &Who, input: &Value) -> Keys {
    filled(Keys::default(), context, who, input)
}

/// Those of them that the caller's policies ask for: they decide the same.
fn asked_keys(context: &Context, who: &Who, input: &Value) -> Keys {
    match who.asked() {
        Some(asked) if asked.is_empty() => Keys::only(Arc::clone(asked)),
        Some(asked) => filled(Keys::only(Arc::clone(asked)), context, who, input),
        None => global_keys(context, who, input),
    }
}

fn filled(mut keys: Keys, context: &Context, who: &Who, input: &Value) -> Keys {
    keys::global(&mut keys, context, &who.entity, who.session.as_deref());
    keys::of_input(&mut keys, context, input);
    keys
}

/// The condition keys of a call that nobody known makes.
pub(crate) fn request_keys(context: &Context, input: &Value) -> Keys {
    let mut keys = Keys::default();
    keys::of_request(&mut keys, context);
    keys::of_input(&mut keys, context, input);
    keys
}

/// Knows the resources of other services. Implemented by who has them.
pub trait Resources: Send + Sync + 'static {
    /// The whole ARN of what this one means, where it says less, as with a secret's name or a
    /// definition's family at its end; none where it is whole, or means nothing that there is.
    fn whole(&self, account: &AccountId, region: &Region, arn: &str) -> Option<String>;

    /// The tags of what a whole ARN means; none if that is not there.
    fn tags(
        &self,
        account: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Option<Vec<(String, String)>>;

    /// The policies of the resource that a whole ARN means, each with what it is called and its text;
    /// users and roles in it are named by their unique ids.
    fn policies(&self, arn: &str) -> Vec<(String, String)>;

    /// The roles that a task definition names, by its ARN, its family, or both with a revision.
    fn roles_of(&self, account: &AccountId, region: &Region, definition: &str) -> Vec<String>;
}

/// One call and its caller.
struct Call<'a> {
    context: &'a Context,
    who: &'a Who,
    /// What its policies ask for.
    keys: Keys,
    /// What one action has besides.
    own: Option<(&'static str, &'a str)>,
}

impl<'a> Call<'a> {
    /// The call, for an action that has a key of its own.
    fn with(&self, key: &'static str, value: &'a str) -> Self {
        let mut keys = self.keys.clone();
        keys.set(key, value);
        Self { context: self.context, who: self.who, keys, own: Some((key, value)) }
    }

    /// All of its keys, asked for or not.
    fn all_keys(&self, input: &Value) -> Keys {
        let mut keys = global_keys(self.context, self.who, input);
        if let Some((key, value)) = self.own {
            keys.set(key, value);
        }
        keys
    }
}

impl Iam {
    /// Decides a call whose input was read.
    pub(crate) fn decide_call(
        &self,
        context: &Context,
        input: &dyn Fn() -> Value,
    ) -> Result<Decided, Denied> {
        if is_session_of_user(&context.caller) {
            check_session(context)?;
        }
        if context.service == "sts" && DECIDED_BY_HANDLERS.contains(&context.operation) {
            return Ok(Decided::default());
        }
        let Some(who) = self.who(context)? else { return Ok(Decided::default()) };
        let input = input();
        let keys = asked_keys(context, &who, &input);
        let call = Call { context, who: &who, keys, own: None };
        let caller = &context.caller;
        let place = Place {
            service: context.service,
            region: caller.region.as_str(),
            account: caller.account.as_str(),
        };
        let known = table::action(context.service, context.operation);
        let targets = table::targets(place, context.operation, &input);
        let (Some(action), Some(targets)) = (known, targets) else {
            let action = format!("{}:{}", prefix(context.service), context.operation);
            let text = "because Longshore knows no resources of this operation";
            return Err(Denied::new(format!(
                "User: {} is not authorized to perform: {action} on resource: * {text}",
                caller.arn
            )));
        };
        let mut decided = Decided::default();
        for target in targets {
            let target = self.whole(&call, target);
            let by = self.check(&call, action, &target, &input)?;
            decided.by = decided.by.or(by);
            decided.resources.push(target.resource);
        }
        let own = decided.resources.first().map_or("*", String::as_str);
        self.dependents(&call, &input, own)?;
        Ok(decided)
    }

    /// What the call needs besides its own action.
    fn dependents(&self, call: &Call<'_>, input: &Value, own: &str) -> Result<(), Denied> {
        let context = call.context;
        if context.service == "ecs"
            && let Some(resource) = ecs::tagged(context, input, own)
        {
            let tagging = call.with("ecs:CreateAction", context.operation);
            let target = Target { resource, or: None };
            self.check(&tagging, "ecs:TagResource", &target, input)?;
        }
        for (action, resource) in dependents::others(context, input) {
            let target = self.whole(call, Target { resource, or: None });
            self.check(call, action, &target, input)?;
        }
        for Passed { role, service } in self.passed(context, input) {
            let passing = call.with("iam:PassedToService", service);
            let target = Target { resource: self.passed_arn(context, &role)?, or: None };
            self.check(&passing, "iam:PassRole", &target, input)?;
        }
        Ok(())
    }

    /// Whether the caller may tag the session of a federated user.
    pub(crate) fn may_tag_session(
        &self,
        context: &Context,
        name: &str,
        tags: &[(String, String)],
    ) -> Result<(), crate::refusal::Refusal> {
        let refused = |denied: Denied| crate::refusal::Refusal::Denied(denied.message);
        let Some(who) = self.who(context).map_err(refused)? else { return Ok(()) };
        let tags: Vec<_> = tags
            .iter()
            .map(|(key, value)| serde_json::json!({ "Key": key, "Value": value }))
            .collect();
        let input = serde_json::json!({ "Tags": tags });
        let keys = asked_keys(context, &who, &input);
        let call = Call { context, who: &who, keys, own: None };
        let account = &context.caller.account;
        let resource = format!("arn:aws:sts::{account}:federated-user/{name}");
        let target = Target { resource, or: None };
        self.check(&call, "sts:TagSession", &target, &input).map(|_| ()).map_err(refused)
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

    /// The ARN of a role that is handed on, from its ARN or its name. It must have a record: tasks find
    /// theirs by its name, and one that is made later may have another path than was allowed here.
    fn passed_arn(&self, context: &Context, role: &str) -> Result<String, Denied> {
        let account = &context.caller.account;
        let whole = match role.starts_with("arn:") {
            true => role.to_owned(),
            false => format!("arn:aws:iam::{account}:role/{role}"),
        };
        // By its name, as tasks find it: a path that is not the role's own does not count.
        self.of_iam(account, &whole).ok_or_else(|| {
            let caller = &context.caller.arn;
            Denied::new(format!(
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
                        | "GetLoginProfile"
                        | "ListMFADevices"
                        | "ListSSHPublicKeys"
                        | "ListServiceSpecificCredentials"
                        | "ListSigningCertificates"
                );
            if target.resource == "*" && is_user_call {
                return Target { resource: call.who.entity.arn(account), or: None };
            }
            let resource = self.of_iam(account, &target.resource).unwrap_or(target.resource);
            return Target { resource, ..target };
        }
        let whole = self
            .resources
            .get()
            .and_then(|known| known.whole(account, &caller.region, &target.resource));
        match whole {
            Some(resource) => Target { resource, ..target },
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

    /// Decides one action on one resource; tells the statement that allows it.
    fn check(
        &self,
        call: &Call<'_>,
        action: &str,
        target: &Target,
        input: &Value,
    ) -> Result<Option<String>, Denied> {
        let caller = &call.context.caller;
        let of_resource = self.policies_of(&target.resource);
        let keys = self.keys_for(call, target, &of_resource, input);
        let sets = PolicySets { resource: &of_resource, ..call.who.sets() };
        let ask = |resource: &str, sets: &PolicySets<'_>| {
            let owner = owner_of(resource).unwrap_or(caller.account.as_str());
            let principal = &call.who.principal;
            decide(&Request { principal, action, resource, owner, context: &keys }, sets)
        };
        let mut decision = ask(&target.resource, &sets);
        if decision.outcome == Outcome::ImplicitDeny
            && let Some(or) = &target.or
        {
            let other = ask(or, &sets);
            if other.outcome != Outcome::ImplicitDeny {
                decision = other;
            }
        }
        // A role that IAM does not know is nobody whom a policy of a resource could let in.
        if call.who.because.is_some() && decision.is_allowed() {
            decision = ask(&target.resource, &call.who.sets());
        }
        let by = denial::by(&sets, &decision);
        if decision.is_allowed() {
            return Ok(by);
        }
        // Of a refusal all keys are told, asked for or not.
        let keys = self.with_tags(call, call.all_keys(input), &target.resource, input);
        let mut message = match &call.who.because {
            Some(because) => {
                let (caller, resource) = (&caller.arn, &target.resource);
                format!(
                    "User: {caller} is not authorized to perform: {action} on resource: {resource} \
                     because {because}"
                )
            }
            None => decision.message(&caller.arn, action, &target.resource, &sets),
        };
        tracing::info!(caller = %caller.arn, action, resource = %target.resource, "denied");
        let (principal, resource) = (&call.who.principal, target.resource.as_str());
        let account = caller.account.as_str();
        let owner = owner_of(resource).unwrap_or(account);
        let asked = Request { principal, action, resource, owner, context: &keys };
        let told = denial::told(&asked, &sets, &decision);
        // EC2 is the one of our services whose refusals carry all of it (STS API reference,
        // DecodeAuthorizationMessage).
        if call.context.service == "ec2"
            && let Some(encoded) = self.sessions.encode(call.context.request_id, account, &told)
        {
            message.push_str(&format!(". Encoded authorization failure message: {encoded}"));
        }
        let resources = vec![target.resource.clone()];
        let decided = Decided { by, resources, refusal: Some(Box::new(told)) };
        Err(Denied { message, error: None, decided })
    }

    /// The policies of a resource itself, by its whole ARN.
    pub(crate) fn policies_of(&self, resource: &str) -> Vec<Source> {
        let found = self.resources.get().map(|known| known.policies(resource));
        found.filter(|found| !found.is_empty()).map_or_else(Vec::new, |all| self.of_resource(all))
    }

    /// The keys that one target is decided with: those that the caller's policies ask for, or all if
    /// the target has policies of its own, which may ask for any.
    fn keys_for<'a>(
        &self,
        call: &'a Call<'_>,
        target: &Target,
        of_resource: &[Source],
        input: &Value,
    ) -> Cow<'a, Keys> {
        if !of_resource.is_empty() {
            let mut keys = call.all_keys(input);
            if let Some(owner) = owner_of(&target.resource) {
                keys.set("aws:ResourceAccount", owner);
            }
            return Cow::Owned(self.with_tags(call, keys, &target.resource, input));
        }
        let is_of_resource = |key: &String| key.contains("resourcetag/");
        match call.who.asked().is_none_or(|asked| asked.iter().any(is_of_resource)) {
            true => Cow::Owned(self.with_tags(call, call.keys.clone(), &target.resource, input)),
            false => Cow::Borrowed(&call.keys),
        }
    }

    /// The keys with the tags of what a call is about.
    fn with_tags(&self, call: &Call<'_>, mut keys: Keys, resource: &str, input: &Value) -> Keys {
        for (key, value) in self.tags_of(call, resource, input) {
            keys.set_tag("aws:ResourceTag/", &key, value.as_str());
            let own = format!("{}:ResourceTag/", prefix(call.context.service));
            keys.set_tag(&own, &key, value);
        }
        keys
    }

    /// The tags of what a call is about; what it makes has those that it is made with.
    fn tags_of(&self, call: &Call<'_>, resource: &str, input: &Value) -> Vec<(String, String)> {
        let caller = &call.context.caller;
        let known = self
            .resources
            .get()
            .and_then(|known| known.tags(&caller.account, &caller.region, resource));
        match known {
            Some(tags) => tags,
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

/// Operations of STS that are no matter of the caller's policies alone: who one is may always be asked,
/// a session of one's own always be had; roles are assumed as their trust says.
const DECIDED_BY_HANDLERS: [&str; 4] =
    ["AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"];

/// What AWS answers when a session of a user calls IAM without having shown a second factor.
const NO_FACTOR: ErrorModel = ErrorModel { code: "InvalidClientTokenId", status: 403 };

/// Refuses what credentials of `GetSessionToken` and `GetFederationToken` cannot do: IAM needs a second
/// factor, which there is none of; of STS the first may assume roles, and the others nothing (STS API
/// reference, both operations).
fn check_session(context: &Context) -> Result<(), Denied> {
    let is_federated = matches!(context.caller.kind, wire::CallerKind::Federated(_));
    match (context.service, context.operation) {
        ("iam", _) => {
            let text = "The security token included in the request is invalid";
            Err(Denied { error: Some(NO_FACTOR), ..Denied::new(text) })
        }
        ("sts", "GetCallerIdentity") => Ok(()),
        ("sts", "AssumeRole") if !is_federated => Ok(()),
        ("sts", operation) => {
            Err(Denied::new(format!("Cannot call {operation} with session credentials")))
        }
        _ => Ok(()),
    }
}

/// The account that an ARN is of; none of what has none, or is AWS's own.
pub(crate) fn owner_of(resource: &str) -> Option<&str> {
    let owner = resource.split(':').nth(4)?;
    (!owner.is_empty() && owner != "aws").then_some(owner)
}

/// What a service's actions begin with.
fn prefix(service: &str) -> &str {
    if service == "monitoring" { "cloudwatch" } else { service }
}
