//! `GetSessionToken` and `GetFederationToken`: short-lived credentials for who has long-term ones.

use std::time::Duration;

use shapes_sts as shapes;
use wire::{CallerKind, Context, RoleSession};

use super::granting::{self, limits, no_factor, packed_percent, pairs, shown};
use crate::Iam;
use crate::authenticator::{administrator_arn, is_session_of_user};
use crate::refusal::Refusal;
use crate::sessions::{Granted, UserClaims};

/// How long these sessions last unless said otherwise, in seconds (STS API reference).
const LIFE_S: u32 = 43_200;

fn life(asked: Option<i32>) -> Duration {
    let seconds = asked.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(LIFE_S);
    Duration::from_secs(u64::from(seconds))
}

/// The user who calls with a long-term key; none for the administrator. Nobody else may have these
/// sessions.
fn user(context: &Context) -> Result<Option<String>, Refusal> {
    let operation = context.operation;
    let caller = &context.caller;
    let refused = || {
        let text = format!("Cannot call {operation} with session credentials");
        Err(Refusal::Denied(text))
    };
    if is_session_of_user(caller) {
        return refused();
    }
    match &caller.kind {
        CallerKind::User(id) => Ok(Some(id.clone())),
        CallerKind::Operator => Ok(None),
        CallerKind::Role(_)
        | CallerKind::Task { .. }
        | CallerKind::UserSession(_)
        | CallerKind::Federated(_) => refused(),
        CallerKind::Node { .. } | CallerKind::Server | CallerKind::Open | CallerKind::Anonymous => {
            let text = format!("{operation} is for users with access keys: {} is none", caller.arn);
            Err(Refusal::Denied(text))
        }
    }
}

pub(super) async fn get_session_token(
    iam: &Iam,
    context: Context,
    input: shapes::GetSessionTokenRequest,
) -> Result<shapes::GetSessionTokenResponse, Refusal> {
    no_factor(&input.serial_number, &input.token_code)?;
    let (id, account) = (user(&context)?, context.caller.account.clone());
    let claims = UserClaims { account, id, at: context.now };
    let expires_at = context.now + life(input.duration_seconds);
    let made = iam.sessions.of_user(claims, expires_at, iam.random().await?);
    Ok(shapes::GetSessionTokenResponse { credentials: Some(shown(made)) })
}

pub(super) async fn get_federation_token(
    iam: &Iam,
    context: Context,
    input: shapes::GetFederationTokenRequest,
) -> Result<shapes::GetFederationTokenResponse, Refusal> {
    let (maker, account) = (user(&context)?, context.caller.account.clone());
    let (policies, policy_arns) = limits(iam, &account, input.policy, input.policy_arns)?;
    let (tags, _) = granting::tags(None, pairs(&input.tags), Vec::new())?;
    if !tags.is_empty() {
        iam.may_tag_session(&context, &input.name, &tags)?;
    }
    let caller = &context.caller;
    let session = RoleSession {
        role_arn: match &maker {
            Some(_) => caller.arn.clone(),
            None => administrator_arn(&account),
        },
        role_id: maker.unwrap_or_else(|| caller.user_id.clone()),
        name: input.name.clone(),
        issued_at: context.now,
        expires_at: context.now + life(input.duration_seconds),
        policies,
        policy_arns,
        tags,
        transitive: Vec::new(),
        source_identity: None,
        provider: None,
    };
    let packed_policy_size = packed_percent(&session)?;
    let granted = Granted { account: account.clone(), session, is_federated: true };
    let made = iam.grant(granted).await?;
    let name = input.name;
    Ok(shapes::GetFederationTokenResponse {
        credentials: Some(shown(made)),
        federated_user: Some(shapes::FederatedUser {
            arn: format!("arn:aws:sts::{account}:federated-user/{name}"),
            federated_user_id: format!("{account}:{name}"),
        }),
        packed_policy_size,
    })
}
