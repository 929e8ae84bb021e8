//! What all sessions that STS gives out have in common: policies that limit them, tags, their size.

use policy::{Kind as DocumentKind, Policy};
use shapes_sts as shapes;
use shapes_sts::errors as codes;
use terms::AccountId;
use wire::RoleSession;

use crate::refusal::Refusal;
use crate::{Iam, SessionCredentials};

/// Characters of a session's policy.
const POLICY_MAX: usize = 2048;
/// Managed policies of a session.
const POLICY_ARNS_MAX: usize = 10;
/// Bytes that a session's policies and tags may take; what is beyond is refused. AWS packs them in a
/// form of its own, of which it tells the share alone.
const PACKED_MAX: usize = 4096;

/// Keys and values.
pub(super) type Tags = Vec<(String, String)>;

fn parameter(text: &str) -> Refusal {
    Refusal::Parameter(text.to_owned())
}

/// The tags of the new session: those asked for over those that go on from the caller's.
pub(super) fn tags(
    caller: Option<&RoleSession>,
    asked: Tags,
    transitive: Vec<String>,
) -> Result<(Tags, Vec<String>), Refusal> {
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    for (at, (key, _)) in asked.iter().enumerate() {
        if asked[..at].iter().any(|(other, _)| same(other, key)) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(parameter(text));
        }
    }
    if transitive.iter().any(|key| !asked.iter().any(|(tag, _)| same(tag, key))) {
        let text = "The specified transitive tag key must be included in the requested tags.";
        return Err(parameter(text));
    }
    let (inherited, kept) = caller.map_or((Vec::new(), Vec::new()), |session| {
        let goes_on = |key: &str| session.transitive.iter().any(|kept| same(kept, key));
        let tags = session.tags.iter().filter(|(key, _)| goes_on(key)).cloned().collect();
        (tags, session.transitive.clone())
    });
    let clashes = |key: &str| inherited.iter().any(|(other, _): &(String, _)| same(other, key));
    if asked.iter().any(|(key, _)| clashes(key)) {
        let text = "One of the specified transitive tag keys can't be set because it conflicts \
                    with a transitive tag key from the calling session.";
        return Err(parameter(text));
    }
    Ok((inherited.into_iter().chain(asked).collect(), kept.into_iter().chain(transitive).collect()))
}

/// Tags of an input as pairs.
pub(super) fn pairs(tags: &Option<Vec<shapes::Tag>>) -> Tags {
    tags.iter().flatten().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

/// Policies that limit the session: documents and ARNs.
pub(super) fn limits(
    iam: &Iam,
    account: &AccountId,
    policy: Option<String>,
    arns: Option<Vec<shapes::PolicyDescriptorType>>,
) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let documents: Vec<String> = policy.into_iter().collect();
    for document in &documents {
        if document.chars().count() > POLICY_MAX {
            let text =
                format!("Value at 'policy' must have length less than or equal to {POLICY_MAX}");
            return Err(Refusal::Validation(text));
        }
        Policy::parse(document, DocumentKind::Identity)?;
    }
    let arns: Vec<String> = arns.into_iter().flatten().filter_map(|one| one.arn).collect();
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

/// The share of what a session's policies and tags may take; none if there are none.
pub(super) fn packed_percent(session: &RoleSession) -> Result<Option<i32>, Refusal> {
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

/// Credentials as answers have them.
pub(super) fn shown(made: SessionCredentials) -> shapes::Credentials {
    shapes::Credentials {
        access_key_id: made.access_key_id,
        expiration: made.expires_at,
        secret_access_key: made.secret.expose().to_owned(),
        session_token: made.session_token,
    }
}

/// Refuses codes of devices: there are none.
pub(super) fn no_factor(serial: &Option<String>, code: &Option<String>) -> Result<(), Refusal> {
    if serial.is_some() || code.is_some() {
        let text = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
        return Err(Refusal::Denied(text.to_owned()));
    }
    Ok(())
}
