//! `AssumeRoleWithWebIdentity`: a token of an identity provider instead of a signature.

use policy::{Context as Keys, PolicySets, Principal, PrincipalKind};
use serde_json::Value;
use shapes_sts as shapes;
use shapes_sts::errors as codes;
use terms::AccountId;
use wire::{Context, RoleSession};

use super::assume::{life_of_role, role_of, trusts};
use super::granting::{Tags, limits, packed_percent, shown};
use crate::Iam;
use crate::authorize::request_keys;
use crate::model::{Entity, Provider};
use crate::oidc::{KeysError, Token, Unreadable};
use crate::refusal::Refusal;
use crate::sessions::Granted;

const ACTION: &str = "sts:AssumeRoleWithWebIdentity";
/// How far ahead an issuer's clock may be, in seconds.
const AHEAD_MAX_S: i64 = 300;
/// Claims that say what the session is tagged with, and who is behind it (IAM User Guide, "Pass session
/// tags in AWS STS", "Monitor and control actions taken with assumed roles").
const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::Sts(&codes::INVALID_IDENTITY_TOKEN, text.into())
}

fn not_authorized(action: &str) -> Refusal {
    // No more than this: strangers ask.
    Refusal::Denied(format!("Not authorized to perform {action}"))
}

/// A token that was verified, with the provider that it is of.
struct Verified {
    token: Token,
    provider: Provider,
    issuer: String,
    subject: String,
    audience: String,
}

/// The issuer as providers are registered: without its scheme. Plain HTTP is for this machine alone.
fn bare(issuer: &str) -> Option<&str> {
    if let Some(rest) = issuer.strip_prefix("https://") {
        return Some(rest);
    }
    let rest = issuer.strip_prefix("http://")?;
    is_of_this_machine(rest).then_some(rest)
}

/// Whether a URL without its scheme is of a loopback address.
pub(crate) fn is_of_this_machine(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    host == "localhost" || is_loopback
}

/// Reads and verifies a token: whose it is, for whom, by whom, and until when, in this order.
async fn verify(
    iam: &Iam,
    context: &Context,
    account: &AccountId,
    text: &str,
) -> Result<Verified, Refusal> {
    let token = Token::read(text).map_err(|Unreadable| {
        invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an \
             Access Token)",
        )
    })?;
    let missing = |claim: &str| invalid(format!("Missing a required claim: {claim}"));
    let issuer = token.text("iss").ok_or_else(|| missing("iss"))?.to_owned();
    let subject = token.text("sub").ok_or_else(|| missing("sub"))?.to_owned();
    let expires = token.seconds("exp").ok_or_else(|| missing("exp"))?;
    let key = bare(&issuer).map(|url| (account.to_string(), url.trim_end_matches('/').to_owned()));
    let snapshot = iam.ledger.snapshot();
    let provider = key.and_then(|key| ledger::View::get(&snapshot, &iam.tables.providers, &key));
    let Some(provider) = provider.map(|row| (*row).clone()) else {
        let text = format!("No OpenIDConnect provider found in your account for {issuer}");
        return Err(invalid(text));
    };
    // The authorised party goes before the audience (IAM User Guide, keys for OIDC federation).
    let audiences = match token.text("azp") {
        Some(party) => vec![party],
        None => token.texts("aud"),
    };
    let is_for = |one: &&str| provider.client_ids.iter().any(|client| client == one);
    let audience = audiences.into_iter().find(is_for).map(str::to_owned);
    let audience = audience.ok_or_else(|| invalid("Incorrect token audience"))?;
    iam.issuers.verify(&issuer, &token).await.map_err(|error| match error {
        KeysError::Unreachable => Refusal::Sts(
            &codes::IDP_COMMUNICATION_ERROR,
            "Couldn't retrieve verification key from your identity provider,  please reference \
             AssumeRoleWithWebIdentity documentation for requirements"
                .to_owned(),
        ),
        KeysError::NotSigned => invalid("The token's signature is not of its issuer"),
    })?;
    let now = context.now.seconds();
    if expires <= now {
        let text = format!(
            "Token expired: current date/time {now} must be before the expiration date/time \
             {expires}"
        );
        return Err(Refusal::Sts(&codes::EXPIRED_TOKEN, text));
    }
    let begins = token.seconds("nbf").or_else(|| token.seconds("iat"));
    if begins.is_some_and(|begins| begins > now + AHEAD_MAX_S) {
        return Err(invalid("The token is not valid yet"));
    }
    Ok(Verified { token, provider, issuer, subject, audience })
}

/// The tags that the token has for the session, and which of them go on.
fn tags(token: &Token) -> (Tags, Vec<String>) {
    let Some(said) = token.claims().get(TAGS) else { return (Vec::new(), Vec::new()) };
    let first = |value: &Value| match value {
        Value::Array(values) => values.first().and_then(Value::as_str).map(str::to_owned),
        value => value.as_str().map(str::to_owned),
    };
    let tags = said.get("principal_tags").and_then(Value::as_object).into_iter().flatten();
    let tags = tags.filter_map(|(key, value)| Some((key.clone(), first(value)?)));
    let goes_on = said.get("transitive_tag_keys").and_then(Value::as_array).into_iter().flatten();
    let goes_on = goes_on.filter_map(Value::as_str).map(str::to_owned);
    (tags.collect(), goes_on.collect())
}

/// What a trust policy may ask for: each claim under the provider's name, and what the session gets.
fn keys(context: &Context, verified: &Verified, input: &Value, role: &Entity) -> Keys {
    let mut keys = request_keys(context, input);
    let url = &verified.provider.url;
    for (claim, value) in verified.token.claims() {
        match value {
            Value::String(text) => keys.set(&format!("{url}:{claim}"), text.as_str()),
            Value::Bool(_) | Value::Number(_) => {
                keys.set(&format!("{url}:{claim}"), value.to_string());
            }
            Value::Array(items) => {
                let texts = items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                keys.set_list(&format!("{url}:{claim}"), texts);
            }
            _ => {}
        }
    }
    keys.set(&format!("{url}:aud"), verified.audience.as_str());
    let account = input["account"].as_str().unwrap_or_default();
    keys.set("aws:FederatedProvider", provider_arn(account, url));
    for (key, value) in &role.tags {
        keys.set_tag("aws:ResourceTag/", key, value.as_str());
        keys.set_tag("iam:ResourceTag/", key, value.as_str());
    }
    keys
}

fn provider_arn(account: &str, url: &str) -> String {
    format!("arn:aws:iam::{account}:oidc-provider/{url}")
}

/// Fails unless the role trusts the provider, and lets it do all of this.
fn check_trust(
    account: &AccountId,
    role: &Entity,
    provider: &str,
    keys: &Keys,
    actions: &[&str],
) -> Result<(), Refusal> {
    let principal = Principal {
        kind: PrincipalKind::WebIdentity,
        account: String::new(),
        arn: provider.to_owned(),
        entity_arn: provider.to_owned(),
        entity_id: String::new(),
    };
    let refused = actions
        .iter()
        .find(|action| !trusts(account, role, &principal, keys, PolicySets::default(), action));
    refused.map_or(Ok(()), |action| Err(not_authorized(action)))
}

pub(super) async fn assume(
    iam: &Iam,
    context: Context,
    input: shapes::AssumeRoleWithWebIdentityRequest,
) -> Result<shapes::AssumeRoleWithWebIdentityResponse, Refusal> {
    if input.provider_id.is_some() {
        let text = "ProviderId is for access tokens of OAuth 2.0, which no provider here gives";
        return Err(invalid(text));
    }
    let account: AccountId = input
        .role_arn
        .split(':')
        .nth(4)
        .and_then(|account| account.parse().ok())
        .ok_or_else(|| Refusal::Plain(format!("{} is invalid", input.role_arn)))?;
    let verified = verify(iam, &context, &account, &input.web_identity_token).await?;
    let role = role_of(iam, &account, &input.role_arn).ok_or_else(|| not_authorized(ACTION))?;
    let (tags, transitive) = tags(&verified.token);
    let (tags, transitive) = super::granting::tags(None, tags, transitive)?;
    let source_identity = verified.token.text(SOURCE_IDENTITY).map(str::to_owned);
    let told = serde_json::json!({
        "account": account.as_str(),
        "RoleSessionName": input.role_session_name,
        "SourceIdentity": source_identity,
        "TransitiveTagKeys": transitive,
        "Tags": tags.iter().map(|(key, value)| serde_json::json!({"Key": key, "Value": value}))
            .collect::<Vec<_>>(),
    });
    let keys = keys(&context, &verified, &told, &role);
    let provider = provider_arn(account.as_str(), &verified.provider.url);
    let mut actions = vec![ACTION];
    actions.extend((!tags.is_empty()).then_some("sts:TagSession"));
    actions.extend(source_identity.as_ref().map(|_| "sts:SetSourceIdentity"));
    check_trust(&account, &role, &provider, &keys, &actions)?;
    let (policies, policy_arns) = limits(iam, &account, input.policy, input.policy_arns)?;
    let life = life_of_role(&role, input.duration_seconds)?;
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
        provider: Some(provider),
    };
    let packed_policy_size = packed_percent(&session)?;
    let granted = Granted { account: account.clone(), session, is_federated: false };
    let made = iam.grant(granted).await?;
    let name = &input.role_session_name;
    Ok(shapes::AssumeRoleWithWebIdentityResponse {
        assumed_role_user: Some(shapes::AssumedRoleUser {
            arn: format!("arn:aws:sts::{account}:assumed-role/{}/{name}", role.name),
            assumed_role_id: format!("{}:{name}", role.id),
        }),
        audience: Some(verified.audience),
        credentials: Some(shown(made)),
        packed_policy_size,
        provider: Some(verified.issuer),
        source_identity,
        subject_from_web_identity_token: Some(verified.subject),
    })
}
