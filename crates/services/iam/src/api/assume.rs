//! `AssumeRole`: the role's trust and the caller's policies decide.

use std::sync::Arc;
use std::time::Duration;

use policy::{
    Context as Keys, Kind as DocumentKind, Policy, PolicySets, Principal, Request, Source, decide,
};
use shapes_sts as shapes;
use terms::AccountId;
use wire::{CallerKind, Context, RoleSession};

use super::granting::{limits, no_factor, packed_percent, pairs, shown, tags};
use crate::Iam;
use crate::authorize::{Who, global_keys};
use crate::model::{Entity, Kind};
use crate::refusal::Refusal;
use crate::sessions::Granted;

/// How long a session lasts unless said otherwise, in seconds.
const LIFE_S: u32 = 3600;
/// The longest of a session that was made with another, in seconds.
const CHAINED_S: i32 = 3600;

fn denied(context: &Context, action: &str, role_arn: &str) -> Refusal {
    // As AWS answers: without a reason, and the same for a role that is not there.
    let caller = &context.caller.arn;
    Refusal::Denied(format!(
        "User: {caller} is not authorized to perform: {action} on resource: {role_arn}"
    ))
}

/// The role of this account that an ARN names.
pub(super) fn role_of(iam: &Iam, account: &AccountId, arn: &str) -> Option<Entity> {
    let rest = arn.strip_prefix(&format!("arn:aws:iam::{account}:role/"))?;
    let name = rest.rsplit('/').next()?;
    let role = iam.entity(&iam.ledger.snapshot(), account, Kind::Role, name).ok()?;
    (role.arn(account) == arn).then_some(role)
}

fn life(context: &Context, role: &Entity, asked: Option<i32>) -> Result<Duration, Refusal> {
    let is_chained = matches!(context.caller.kind, CallerKind::Role(_) | CallerKind::Task { .. });
    if is_chained && asked.is_some_and(|seconds| seconds > CHAINED_S) {
        let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles \
                    assumed by role chaining.";
        return Err(Refusal::Plain(text.to_owned()));
    }
    life_of_role(role, asked)
}

/// How long a session of a role is to last.
pub(super) fn life_of_role(role: &Entity, asked: Option<i32>) -> Result<Duration, Refusal> {
    let seconds = asked.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(LIFE_S);
    let max = role.role.as_ref().map_or(LIFE_S, |part| part.max_session_s);
    if seconds > max {
        let text =
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(Refusal::Plain(text.to_owned()));
    }
    Ok(Duration::from_secs(u64::from(seconds)))
}

/// Whether the role's trust, with the caller's own policies, lets a principal do this to it.
pub(super) fn trusts(
    account: &AccountId,
    role: &Entity,
    principal: &Principal,
    keys: &Keys,
    own: PolicySets<'_>,
    action: &str,
) -> bool {
    let trust = role.role.as_ref().map(|part| part.trust.as_str()).unwrap_or_default();
    let policy = Policy::parse(trust, DocumentKind::Trust);
    let policy = Arc::new(policy.unwrap_or_else(|_| Policy::empty()));
    let trust = Source { name: "trust".to_owned(), arn: None, policy };
    let sets = PolicySets { resource: std::slice::from_ref(&trust), needs_resource: true, ..own };
    let (arn, owner) = (role.arn(account), account.as_str());
    let request = Request { principal, action, resource: &arn, owner, context: keys };
    decide(&request, &sets).is_allowed()
}

struct Trusting<'a> {
    context: &'a Context,
    who: &'a Who,
    role: &'a Entity,
    keys: Keys,
}

impl Trusting<'_> {
    /// Fails unless trust and the caller's policies let it do this to the role.
    fn check(&self, action: &str) -> Result<(), Refusal> {
        let (account, who) = (&self.context.caller.account, self.who);
        match trusts(account, self.role, &who.principal, &self.keys, who.sets(), action) {
            true => Ok(()),
            false => Err(denied(self.context, action, &self.role.arn(account))),
        }
    }
}

pub(super) async fn assume(
    iam: &Iam,
    context: Context,
    input: shapes::AssumeRoleRequest,
) -> Result<shapes::AssumeRoleResponse, Refusal> {
    let account = context.caller.account.clone();
    no_factor(&input.serial_number, &input.token_code)?;
    if !input.role_arn.starts_with("arn:") {
        return Err(Refusal::Plain(format!("{} is invalid", input.role_arn)));
    }
    let who = iam.administrator_or(&context).map_err(|denied| Refusal::Denied(denied.message))?;
    let role = role_of(iam, &account, &input.role_arn)
        .ok_or_else(|| denied(&context, "sts:AssumeRole", &input.role_arn))?;
    let transitive = input.transitive_tag_keys.clone().unwrap_or_default();
    let (tags, transitive) = tags(who.session.as_deref(), pairs(&input.tags), transitive)?;
    let named = input.policy_arns.clone();
    let (policies, policy_arns) = limits(iam, &account, input.policy.clone(), named)?;
    let mut keys = global_keys(&context, &who, &sts_input(&input));
    for (key, value) in &role.tags {
        keys.set_tag("aws:ResourceTag/", key, value.as_str());
        keys.set_tag("iam:ResourceTag/", key, value.as_str());
    }
    let trusting = Trusting { context: &context, who: &who, role: &role, keys };
    trusting.check("sts:AssumeRole")?;
    if !tags.is_empty() {
        trusting.check("sts:TagSession")?;
    }
    let inherited = who.session.as_ref().and_then(|session| session.source_identity.clone());
    if let Some(wanted) = &input.source_identity {
        if inherited.as_ref().is_some_and(|inherited| inherited != wanted) {
            return Err(denied(&context, "sts:SetSourceIdentity", &input.role_arn));
        }
        trusting.check("sts:SetSourceIdentity")?;
    }
    let life = life(&context, &role, input.duration_seconds)?;
    let source_identity = input.source_identity.or(inherited);
    let session = RoleSession {
        role_id: role.id.clone(),
        role_arn: role.arn(&account),
        name: input.role_session_name.clone(),
        issued_at: context.now,
        expires_at: context.now + life,
        policies,
        policy_arns,
        tags,
        transitive,
        source_identity: source_identity.clone(),
        provider: None,
    };
    let packed = packed_percent(&session)?;
    let name = input.role_session_name;
    let granted = Granted { account: account.clone(), session, is_federated: false };
    let made = iam.grant(granted).await?;
    Ok(shapes::AssumeRoleResponse {
        assumed_role_user: Some(shapes::AssumedRoleUser {
            arn: format!("arn:aws:sts::{account}:assumed-role/{}/{name}", role.name),
            assumed_role_id: format!("{}:{name}", role.id),
        }),
        credentials: Some(shown(made)),
        packed_policy_size: packed,
        source_identity,
    })
}

/// The members that condition keys come from.
fn sts_input(input: &shapes::AssumeRoleRequest) -> serde_json::Value {
    let tags: Vec<_> = input
        .tags
        .iter()
        .flatten()
        .map(|tag| serde_json::json!({ "Key": tag.key, "Value": tag.value }))
        .collect();
    serde_json::json!({
        "ExternalId": input.external_id,
        "RoleSessionName": input.role_session_name,
        "SourceIdentity": input.source_identity,
        "TransitiveTagKeys": input.transitive_tag_keys,
        "Tags": tags,
    })
}
