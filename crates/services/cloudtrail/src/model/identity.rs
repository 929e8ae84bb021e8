//! Who called, as CloudTrail tells it (CloudTrail guide, "userIdentity element").

use serde_json::{Value, json};
use wire::{AuditedCall, Caller, CallerKind, RoleSession};

use super::event::seconds;

/// The member `userIdentity`.
pub(super) fn of(call: &AuditedCall) -> Value {
    match &call.caller {
        Some(caller) => known(caller),
        None => json!({ "type": "Unknown", "accessKeyId": call.claimed_key }),
    }
}

fn known(caller: &Caller) -> Value {
    let (kind, name) = (kind(caller), caller.arn.rsplit('/').next().unwrap_or_default());
    let mut told = json!({
        "type": kind,
        "principalId": caller.user_id,
        "arn": caller.arn,
        "accountId": caller.account.as_str(),
        "accessKeyId": caller.access_key_id,
    });
    match &caller.kind {
        CallerKind::Operator | CallerKind::User(_) => told["userName"] = name.into(),
        CallerKind::Node { name } => told["userName"] = format!("node/{name}").into(),
        CallerKind::UserSession(session) => {
            told["userName"] = name.into();
            let made = seconds(session.issued_at);
            let attributes = json!({ "creationDate": made, "mfaAuthenticated": "false" });
            told["sessionContext"] = json!({ "attributes": attributes });
        }
        CallerKind::Role(session) => {
            told["sessionContext"] = session_context(caller, session, "Role");
        }
        CallerKind::Federated(session) => {
            told["sessionContext"] = session_context(caller, session, "IAMUser");
        }
        CallerKind::Task { task_arn } => {
            let role = caller.arn.split('/').nth(1).unwrap_or_default();
            let issuer = json!({ "type": "Role", "accountId": caller.account.as_str(),
                "principalId": caller.user_id.split(':').next(), "userName": role });
            told["sessionContext"] = json!({ "sessionIssuer": issuer });
            told["inScopeOf"] = json!({ "sourceArn": task_arn,
                "sourceAccount": caller.account.as_str(), "issuerType": "AWS::ECS::Task" });
        }
        CallerKind::Anonymous | CallerKind::Open => {}
    }
    told
}

fn kind(caller: &Caller) -> &'static str {
    match caller.kind {
        CallerKind::Operator
        | CallerKind::User(_)
        | CallerKind::UserSession(_)
        | CallerKind::Node { .. } => "IAMUser",
        CallerKind::Role(_) | CallerKind::Task { .. } => "AssumedRole",
        CallerKind::Federated(_) => "FederatedUser",
        CallerKind::Anonymous => "WebIdentityUser",
        CallerKind::Open => "Root",
    }
}

fn session_context(caller: &Caller, session: &RoleSession, issuer: &str) -> Value {
    let mut told = json!({
        "sessionIssuer": {
            "type": issuer,
            "principalId": session.role_id,
            "arn": session.role_arn,
            "accountId": caller.account.as_str(),
            "userName": session.role_arn.rsplit('/').next(),
        },
        "attributes": {
            "creationDate": seconds(session.issued_at),
            "mfaAuthenticated": "false",
        },
    });
    if let Some(identity) = &session.source_identity {
        told["sourceIdentity"] = identity.as_str().into();
    }
    if let Some(provider) = &session.provider {
        told["webIdFederationData"] = json!({ "federatedProvider": provider });
    }
    told
}
