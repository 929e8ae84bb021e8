//! Parameters as requests get them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use shapes_ssm as shapes;

use super::model::{Kind, ParameterVersion};
use super::{name, policies};
use crate::Scope;

/// What the version's value is shown as.
pub(super) fn value(version: &ParameterVersion, with_decryption: Option<bool>) -> String {
    match (version.kind, with_decryption) {
        (Kind::SecureString, None | Some(false)) => blind(version),
        (_, _) => version.value.expose().clone(),
    }
}

/// What stands for a value that is not to be seen: a text as KMS would give it, the same each time,
/// that says nothing of the value but about how long it is.
fn blind(version: &ParameterVersion) -> String {
    const AROUND_BYTES: usize = 104;
    const STEP_BYTES: usize = 32;
    let wanted = AROUND_BYTES + version.value.expose().len().next_multiple_of(STEP_BYTES);
    let mut bytes = b"\x01\x02\x02\x00".to_vec();
    let mut count = 0_u64;
    while bytes.len() < wanted {
        let block = Sha256::new().chain_update(version.blind).chain_update(count.to_be_bytes());
        bytes.extend(block.finalize());
        count += 1;
    }
    bytes.truncate(wanted);
    STANDARD.encode(bytes)
}

/// A parameter with its value.
pub(super) fn parameter(
    scope: &Scope,
    name: &str,
    (number, version): (u64, &ParameterVersion),
    selector: Option<String>,
    with_decryption: Option<bool>,
) -> shapes::Parameter {
    shapes::Parameter {
        arn: Some(name::arn(scope, name)),
        data_type: Some("text".to_owned()),
        last_modified_date: Some(version.modified_at),
        name: Some(name.to_owned()),
        selector,
        type_: Some(version.kind.shape()),
        value: Some(value(version, with_decryption)),
        version: i64::try_from(number).ok(),
        ..Default::default()
    }
}

/// A parameter without its value.
pub(super) fn metadata(
    scope: &Scope,
    name: &str,
    (number, version): (u64, &ParameterVersion),
) -> shapes::ParameterMetadata {
    shapes::ParameterMetadata {
        allowed_pattern: version.allowed_pattern.clone(),
        arn: Some(name::arn(scope, name)),
        data_type: Some("text".to_owned()),
        description: version.description.clone(),
        key_id: version.key_id.clone(),
        last_modified_date: Some(version.modified_at),
        last_modified_user: Some(version.modified_by.clone()),
        name: Some(name.to_owned()),
        policies: Some(inline(version)),
        tier: Some(version.tier.shape()),
        type_: Some(version.kind.shape()),
        version: i64::try_from(number).ok(),
    }
}

/// A version of a parameter's history.
pub(super) fn history(
    name: &str,
    (number, version): (u64, &ParameterVersion),
    labels: Vec<String>,
    with_decryption: Option<bool>,
) -> shapes::ParameterHistory {
    shapes::ParameterHistory {
        allowed_pattern: version.allowed_pattern.clone(),
        data_type: Some("text".to_owned()),
        description: version.description.clone(),
        key_id: version.key_id.clone(),
        labels: Some(labels),
        last_modified_date: Some(version.modified_at),
        last_modified_user: Some(version.modified_by.clone()),
        name: Some(name.to_owned()),
        policies: Some(inline(version)),
        tier: Some(version.tier.shape()),
        type_: Some(version.kind.shape()),
        value: Some(value(version, with_decryption)),
        version: i64::try_from(number).ok(),
    }
}

fn inline(version: &ParameterVersion) -> Vec<shapes::ParameterInlinePolicy> {
    let parts = version.policies.as_deref().map(policies::parts).unwrap_or_default();
    let part = |(kind, text)| shapes::ParameterInlinePolicy {
        policy_status: Some("Finished".to_owned()),
        policy_text: Some(text),
        policy_type: Some(kind),
    };
    parts.into_iter().map(part).collect()
}
