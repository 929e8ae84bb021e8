//! Who called, as CloudTrail tells it (CloudTrail guide, "userIdentity element").

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};
use wire::{AuditedCall, Caller, CallerKind, RoleSession};

use super::event::seconds;

/// The member `userIdentity`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    access_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_context: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_scope_of: Option<Value>,
}

impl<'a> Identity<'a> {
    /// Who made a call.
    pub(super) fn of(call: &'a AuditedCall) -> Self {
        match &call.caller {
            Some(caller) => Self::known(caller),
            None => Self {
                kind: "Unknown",
                access_key_id: call.claimed_key.as_deref(),
                ..Self::default()
            },
        }
    }

    fn known(caller: &'a Caller) -> Self {
        let name = caller.arn.rsplit('/').next().unwrap_or_default();
        let mut told = Self {
            kind: kind(caller),
            principal_id: Some(&caller.user_id),
            arn: Some(&caller.arn),
            account_id: Some(caller.account.as_str()),
            access_key_id: Some(&caller.access_key_id),
            ..Self::default()
        };
        match &caller.kind {
            CallerKind::Operator | CallerKind::User(_) => told.user_name = Some(name.into()),
            CallerKind::Node { name } => told.user_name = Some(format!("node/{name}").into()),
            CallerKind::UserSession(session) => {
                told.user_name = Some(name.into());
                let made = seconds(session.issued_at);
                let attributes = json!({ "creationDate": made, "mfaAuthenticated": "false" });
                told.session_context = Some(json!({ "attributes": attributes }));
            }
            CallerKind::Role(session) => {
                told.session_context = Some(session_context(caller, session, "Role"));
            }
            CallerKind::Federated(session) => {
                told.session_context = Some(session_context(caller, session, "IAMUser"));
            }
            CallerKind::Task { task_arn, .. } => {
                let role = caller.arn.split('/').nth(1).unwrap_or_default();
                let issuer = json!({ "type": "Role", "accountId": caller.account.as_str(),
                    "principalId": caller.user_id.split(':').next(), "userName": role });
                told.session_context = Some(json!({ "sessionIssuer": issuer }));
                told.in_scope_of = Some(json!({ "sourceArn": task_arn,
                    "sourceAccount": caller.account.as_str(), "issuerType": "AWS::ECS::Task" }));
            }
            CallerKind::Server | CallerKind::Anonymous | CallerKind::Open => {}
        }
        told
    }
}

fn kind(caller: &Caller) -> &'static str {
    match caller.kind {
        CallerKind::Operator
        | CallerKind::User(_)
        | CallerKind::UserSession(_)
        | CallerKind::Node { .. } => "IAMUser",
        CallerKind::Role(_) | CallerKind::Task { .. } => "AssumedRole",
        CallerKind::Federated(_) => "FederatedUser",
        CallerKind::Server => "AWSService",
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
