//! Names, ids and tags that requests bring (API reference, `CreateLoadBalancer`,
//! `CreateTargetGroup`, `Tag`).

use std::collections::BTreeMap;

use shapes_elbv2 as shapes;

use crate::error::{Error, Limit};

/// Longest name, in bytes.
const NAME_MAX: usize = 32;
/// Most tags of one resource.
pub(super) const TAGS_MAX: usize = 50;

/// Refuses what is no load balancer's name.
pub(super) fn check_load_balancer(name: &str) -> Result<(), Error> {
    check_characters(name, "Load balancer", "and")?;
    if name.starts_with('-') || name.ends_with('-') {
        let text = format!("Load balancer name '{name}' cannot begin or end with a hyphen");
        return Err(Error::invalid(text));
    }
    match name.starts_with("internal-") {
        true => Err(Error::invalid("The load balancer name cannot begin with 'internal-'")),
        false => Ok(()),
    }
}

/// Refuses what is no target group's name.
pub(super) fn check_group(name: &str) -> Result<(), Error> {
    check_characters(name, "Target group", "or")?;
    if name.starts_with('-') || name.ends_with('-') || name.contains("--") {
        // As AWS was seen to say it.
        return Err(Error::invalid(format!(
            "1 validation error detected: Value '{name}' at \
             'targetGroup.targetGroupArn.targetGroupName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: (?!.*--)(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
        )));
    }
    Ok(())
}

/// Length and characters; AWS joins what is allowed by another word for each kind of name.
fn check_characters(name: &str, what: &str, joint: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Error::invalid(format!(
            "{what} name '{name}' cannot be longer than '{NAME_MAX}' characters"
        )));
    }
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !name.bytes().all(is_one) {
        return Err(Error::invalid(format!(
            "{what} name '{name}' can only contain characters that are alphanumeric characters {joint} \
             hyphens(-)"
        )));
    }
    Ok(())
}

/// The 16 digits of an id.
pub(super) fn id(bytes: [u8; 16]) -> String {
    hex::encode(&bytes[..8])
}

/// The tags of a request.
pub(super) fn tags(tags: &[shapes::Tag]) -> Result<BTreeMap<String, String>, Error> {
    let mut read = BTreeMap::new();
    for tag in tags {
        if tag.key.starts_with("aws:") {
            return Err(Error::invalid("Tag keys that begin with 'aws:' are reserved"));
        }
        let value = tag.value.clone().unwrap_or_default();
        if read.insert(tag.key.clone(), value).is_some() {
            return Err(Error::DuplicateTag(tag.key.clone()));
        }
    }
    check_count(&read)?;
    Ok(read)
}

/// Refuses more tags than a resource may have.
pub(super) fn check_count(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    match tags.len() > TAGS_MAX {
        true => Err(Error::too_many(Limit::Tags, format!("At most {TAGS_MAX} tags are allowed"))),
        false => Ok(()),
    }
}
