//! `AssumeRole`: the role's trust and the caller's policies decide.

use std::sync::Arc;
use std::time::Duration;

use policy::{Context as Keys, Kind as DocumentKind, Policy, PolicySets, Request, Source, decide};
use shapes_sts as shapes;
use shapes_sts::errors as codes;
use terms::AccountId;
use wire::{CallerKind, Context, RoleSession};

use crate::Iam;
use crate::authorize::{Who, global_keys};
use crate::model::{Entity, Kind};
use crate::refusal::Refusal;
use crate::sessions::Granted;

/// How long a session lasts unless said otherwise, in seconds.
const LIFE_S: u32 = 3600;
/// The longest of a session that was made with another, in seconds.
const CHAINED_S: u32 = 3600;
/// Characters of a session's policy.
const POLICY_MAX: usize = 2048;
/// Managed policies of a session.
const POLICY_ARNS_MAX: usize = 10;
/// Bytes that a session's policies and tags may take; what is beyond is refused. AWS packs them in a
/// form of its own, of which it tells the share alone.
const PACKED_MAX: usize = 4096;

fn denied(context: &Context, action: &str, role_arn: &str) -> Refusal {
    // As AWS answers: without a reason, and the same for a role that is not there.
    let caller = &context.caller.arn;
    Refusal::Denied(format!(
        "User: {caller} is not authorized to perform: {action} on resource: {role_arn}"
    ))
}

/// The role of this account that an ARN names.
fn role_of(iam: &Iam, account: &AccountId, arn: &str) -> Option<Entity> {
    let rest = arn.strip_prefix(&format!("arn:aws:iam::{account}:role/"))?;
    let name = rest.rsplit('/').next()?;
    let role = iam.entity(&iam.ledger.snapshot(), account, Kind::Role, name).ok()?;
    (role.arn(account) == arn).then_some(role)
}

fn life(context: &Context, role: &Entity, asked: Option<i32>) -> Result<Duration, Refusal> {
    let seconds = asked.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(LIFE_S);
    let max = role.role.as_ref().map_or(LIFE_S, |part| part.max_session_s);
    let is_chained = matches!(context.caller.kind, CallerKind::Role(_) | CallerKind::Task { .. });
    let text = if is_chained && seconds > CHAINED_S {
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role \
         chaining."
    } else if seconds > max {
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    } else {
        return Ok(Duration::from_secs(u64::from(seconds)));
    };
    Err(Refusal::Plain(text.to_owned()))
}

fn parameter(text: &str) -> Refusal {
    Refusal::Parameter(text.to_owned())
}

/// Keys and values.
type Tags = Vec<(String, String)>;

/// The tags of the new session: those asked for over those that go on from the caller's.
fn tags(
    caller: Option<&RoleSession>,
    input: &shapes::AssumeRoleRequest,
) -> Result<(Tags, Vec<String>), Refusal> {
    let asked = input.tags.clone().unwrap_or_default();
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    for (at, tag) in asked.iter().enumerate() {
        if asked[..at].iter().any(|other| same(&other.key, &tag.key)) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(parameter(text));
        }
    }
    let transitive = input.transitive_tag_keys.clone().unwrap_or_default();
    if transitive.iter().any(|key| !asked.iter().any(|tag| same(&tag.key, key))) {
        let text = "The specified transitive tag key must be included in the requested tags.";
        return Err(parameter(text));
    }
    let (inherited, kept) = caller.map_or((Vec::new(), Vec::new()), |session| {
        let goes_on = |key: &str| session.transitive.iter().any(|kept| same(kept, key));
        let tags = session.tags.iter().filter(|(key, _)| goes_on(key)).cloned().collect();
        (tags, session.transitive.clone())
    });
    let clashes = |key: &str| inherited.iter().any(|(other, _)| same(other, key));
    if asked.iter().any(|tag| clashes(&tag.key)) {
        let text = "One of the specified transitive tag keys can't be set because it conflicts \
                    with a transitive tag key from the calling session.";
        return Err(parameter(text));
    }
    let own = asked.into_iter().map(|tag| (tag.key, tag.value));
    Ok((inherited.into_iter().chain(own).collect(), kept.into_iter().chain(transitive).collect()))
}

/// Policies that limit the session: documents and ARNs.
fn limits(
    iam: &Iam,
    account: &AccountId,
    input: &shapes::AssumeRoleRequest,
) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let documents: Vec<String> = input.policy.clone().into_iter().collect();
    for document in &documents {
        if document.chars().count() > POLICY_MAX {
            let text =
                format!("Value at 'policy' must have length less than or equal to {POLICY_MAX}");
            return Err(Refusal::Validation(text));
        }
        Policy::parse(document, DocumentKind::Identity)?;
    }
    let named = input.policy_arns.clone().unwrap_or_default();
    let arns: Vec<String> = named.into_iter().filter_map(|one| one.arn).collect();
    if arns.len() > POLICY_ARNS_MAX {
        let text = "You have exceeded the number of managed policy ARNs of a session: 10";
        return Err(Refusal::Plain(text.to_owned()));
    }
    let snapshot = iam.ledger.snapshot();
    for arn in &arns {
        if iam.document(&snapshot, account, arn).is_none() {
            return Err(Refusal::Malformed(format!("The policy {arn} does not exist.")));
        }
    }
    Ok((documents, arns))
}

struct Trusting<'a> {
    iam: &'a Iam,
    context: &'a Context,
    who: &'a Who,
    role: &'a Entity,
    keys: Keys,
}

impl Trusting<'_> {
    /// Fails unless trust and the caller's policies let it do this to the role.
    fn check(&self, action: &str) -> Result<(), Refusal> {
        let account = &self.context.caller.account;
        let arn = self.role.arn(account);
        let trust = self.role.role.as_ref().map(|part| part.trust.as_str()).unwrap_or_default();
        let policy = Policy::parse(trust, DocumentKind::Trust);
        let policy = Arc::new(policy.unwrap_or_else(|_| Policy::empty()));
        let trust = Source { name: "trust".to_owned(), arn: None, policy };
        let sets = PolicySets { resource: Some(&trust), needs_resource: true, ..self.who.sets() };
        let request = Request {
            principal: &self.who.principal,
            action,
            resource: &arn,
            owner: account.as_str(),
            context: &self.keys,
        };
        if decide(&request, &sets).is_allowed() {
            return Ok(());
        }
        let _ = self.iam;
        Err(denied(self.context, action, &arn))
    }
}

pub(super) async fn assume(
    iam: &Iam,
    context: Context,
    input: shapes::AssumeRoleRequest,
) -> Result<shapes::AssumeRoleResponse, Refusal> {
    let account = context.caller.account.clone();
    if input.serial_number.is_some() || input.token_code.is_some() {
        let text = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
        return Err(Refusal::Denied(text.to_owned()));
    }
    if !input.role_arn.starts_with("arn:") {
        return Err(Refusal::Plain(format!("{} is invalid", input.role_arn)));
    }
    let who = iam.administrator_or(&context).map_err(|denied| Refusal::Denied(denied.0))?;
    let role = role_of(iam, &account, &input.role_arn)
        .ok_or_else(|| denied(&context, "sts:AssumeRole", &input.role_arn))?;
    let (tags, transitive) = tags(who.session.as_deref(), &input)?;
    let (policies, policy_arns) = limits(iam, &account, &input)?;
    let mut keys = global_keys(&context, &who, &sts_input(&input));
    for (key, value) in &role.tags {
        keys.set_tag("aws:ResourceTag/", key, value.as_str());
        keys.set_tag("iam:ResourceTag/", key, value.as_str());
    }
    let trusting = Trusting { iam, context: &context, who: &who, role: &role, keys };
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
        policies,
        policy_arns,
        tags,
        transitive,
        source_identity: source_identity.clone(),
        provider: None,
    };
    let packed = packed_percent(&session)?;
    let name = input.role_session_name;
    let granted = Granted { account: account.clone(), session, expires_at: context.now + life };
    let made = iam.grant(granted).await?;
    Ok(shapes::AssumeRoleResponse {
        assumed_role_user: Some(shapes::AssumedRoleUser {
            arn: format!("arn:aws:sts::{account}:assumed-role/{}/{name}", role.name),
            assumed_role_id: format!("{}:{name}", role.id),
        }),
        credentials: Some(shapes::Credentials {
            access_key_id: made.access_key_id,
            expiration: made.expires_at,
            secret_access_key: made.secret.expose().to_owned(),
            session_token: made.session_token,
        }),
        packed_policy_size: packed,
        source_identity,
    })
}

/// The share of what a session's policies and tags may take; none if there are none.
fn packed_percent(session: &RoleSession) -> Result<Option<i32>, Refusal> {
    let texts = session.policies.iter().chain(&session.policy_arns).map(String::len);
    let tags = session.tags.iter().map(|(key, value)| key.len() + value.len());
    let bytes: usize = texts.sum::<usize>() + tags.sum::<usize>();
    if bytes == 0 {
        return Ok(None);
    }
    let percent = i32::try_from((bytes * 100).div_ceil(PACKED_MAX)).unwrap_or(i32::MAX);
    if percent > 100 {
        let text = format!("Packed size of session tags consumes {percent}% of allotted space.");
        return Err(Refusal::Sts(&codes::PACKED_POLICY_TOO_LARGE, text));
    }
    Ok(Some(percent))
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
