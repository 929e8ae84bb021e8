//! The condition keys of a call.

use policy::Context as Keys;
use serde_json::Value;
use wire::{CallerKind, Context, RoleSession};

use super::table::members;
use crate::model::{Entity, Kind};

/// What is known of every call, whoever makes it: from where, when.
pub(super) fn of_request(keys: &mut Keys, context: &Context) {
    keys.set("aws:CurrentTime", context.now.to_string());
    keys.set("aws:EpochTime", context.now.seconds().to_string());
    keys.set("aws:SecureTransport", context.endpoint.starts_with("https://").to_string());
    keys.set("aws:RequestedRegion", context.caller.region.as_str());
    if let Some(source) = context.source {
        keys.set("aws:SourceIp", source.ip().to_canonical().to_string());
    }
    if let Some(agent) = &context.user_agent {
        keys.set("aws:UserAgent", agent.as_str());
    }
}

/// The same, and who calls.
pub(super) fn global(
    keys: &mut Keys,
    context: &Context,
    entity: &Entity,
    session: Option<&RoleSession>,
) {
    let caller = &context.caller;
    of_request(keys, context);
    keys.set("aws:PrincipalArn", entity.arn(&caller.account));
    keys.set("aws:PrincipalAccount", caller.account.as_str());
    keys.set("aws:userid", caller.user_id.as_str());
    keys.set("aws:PrincipalIsAWSService", "false");
    keys.set("aws:ViaAWSService", "false");
    keys.set("aws:ResourceAccount", caller.account.as_str());
    match (entity.kind, &caller.kind) {
        (_, CallerKind::Federated(_)) => {
            keys.set("aws:PrincipalType", "FederatedUser");
            keys.set("aws:PrincipalArn", caller.arn.as_str());
        }
        (Kind::User, kind) => {
            keys.set("aws:PrincipalType", "User");
            keys.set("aws:username", entity.name.as_str());
            if let CallerKind::UserSession(session) = kind {
                keys.set("aws:TokenIssueTime", session.issued_at.to_string());
                keys.set("aws:MultiFactorAuthPresent", "false");
            }
        }
        (Kind::Role | Kind::Group, _) => keys.set("aws:PrincipalType", "AssumedRole"),
    }
    let own = session.map(|session| session.tags.as_slice()).unwrap_or_default();
    let is_own = |key: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(key));
    for (key, value) in entity.tags.iter().filter(|(key, _)| !is_own(key)) {
        keys.set_tag("aws:PrincipalTag/", key, value.as_str());
    }
    for (key, value) in own {
        keys.set_tag("aws:PrincipalTag/", key, value.as_str());
    }
    if let Some(session) = session {
        keys.set("aws:TokenIssueTime", session.issued_at.to_string());
        keys.set("aws:MultiFactorAuthPresent", "false");
        if let Some(identity) = &session.source_identity {
            keys.set("aws:SourceIdentity", identity.as_str());
        }
        if let Some(provider) = &session.provider {
            keys.set("aws:FederatedProvider", provider.as_str());
        }
    }
    if let CallerKind::Task { task_arn, .. } = &caller.kind {
        keys.set("aws:SourceArn", task_arn.as_str());
    }
}

/// Tags in the input: a list of keys and values, or a map; those of EC2 are in lists by what they are
/// for.
pub(super) fn tags(input: &Value) -> Vec<(String, String)> {
    if let Some(Value::Array(lists)) = input.get("TagSpecifications") {
        return lists.iter().flat_map(tags).collect();
    }
    let Some(tags) = ["tags", "Tags"].iter().find_map(|name| input.get(name)) else {
        return Vec::new();
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match tags {
        Value::Array(items) => items
            .iter()
            .filter_map(|item| {
                let key = item.get("key").or_else(|| item.get("Key"))?;
                let value = item.get("value").or_else(|| item.get("Value"));
                Some((text(key), value.map(text).unwrap_or_default()))
            })
            .collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
        _ => Vec::new(),
    }
}

/// What the input says: tags, and the keys of its service.
pub(super) fn of_input(keys: &mut Keys, context: &Context, input: &Value) {
    let tags = tags(input);
    let mut named: Vec<String> = tags.iter().map(|(key, _)| key.clone()).collect();
    for list in ["tagKeys", "TagKeys"] {
        named.extend(members(input, list));
    }
    for (key, value) in &tags {
        keys.set_tag("aws:RequestTag/", key, value.as_str());
    }
    if !named.is_empty() {
        keys.set_list("aws:TagKeys", named);
    }
    match context.service {
        "ecs" => super::ecs::keys(keys, context, input),
        "secretsmanager" => {
            for (key, member) in [
                ("secretsmanager:Name", "Name"),
                ("secretsmanager:VersionId", "VersionId"),
                ("secretsmanager:VersionStage", "VersionStage"),
                ("secretsmanager:KmsKeyId", "KmsKeyId"),
                ("secretsmanager:Description", "Description"),
                ("secretsmanager:SecretId", "SecretId"),
                ("secretsmanager:RecoveryWindowInDays", "RecoveryWindowInDays"),
                ("secretsmanager:ForceDeleteWithoutRecovery", "ForceDeleteWithoutRecovery"),
                ("secretsmanager:BlockPublicPolicy", "BlockPublicPolicy"),
            ] {
                plain(keys, input, key, member);
            }
        }
        "iam" => {
            plain(keys, input, "iam:PolicyARN", "PolicyArn");
            plain(keys, input, "iam:PermissionsBoundary", "PermissionsBoundary");
            plain(keys, input, "iam:AWSServiceName", "AWSServiceName");
        }
        "sts" => {
            plain(keys, input, "sts:ExternalId", "ExternalId");
            plain(keys, input, "sts:RoleSessionName", "RoleSessionName");
            plain(keys, input, "sts:SourceIdentity", "SourceIdentity");
            let transitive = members(input, "TransitiveTagKeys");
            if !transitive.is_empty() {
                keys.set_list("sts:TransitiveTagKeys", transitive);
            }
        }
        "ssm" => {
            plain(keys, input, "ssm:Overwrite", "Overwrite");
            plain(keys, input, "ssm:Recursive", "Recursive");
        }
        "monitoring" => {
            let actions = members(input, "AlarmActions");
            if !actions.is_empty() {
                keys.set_list("cloudwatch:AlarmActions", actions);
            }
        }
        _ => {}
    }
}

/// A key that has a member's value.
pub(super) fn plain(keys: &mut Keys, input: &Value, key: &str, member: &str) {
    if let Some(value) = members(input, member).into_iter().next() {
        keys.set(key, value);
    }
}
