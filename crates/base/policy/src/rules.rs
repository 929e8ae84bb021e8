//! What a document of its kind must be, beyond the language: the checks of IAM when a document is
//! written, in its order and words.

use crate::Kind;
use crate::json::{Node, Value};
use crate::malformed::Wrong;
use crate::statement::{Statement, find};

/// What trust policies may be about. The sentence below has two blanks in a row, as IAM's has.
const OF_TRUST: [&str; 5] = [
    "sts:assumerole",
    "sts:assumerolewithsaml",
    "sts:assumerolewithwebidentity",
    "sts:tagsession",
    "sts:setsourceidentity",
];

const TRUST_ACTIONS: &str = "Trust Policy statement actions can only be sts:AssumeRole, \
     sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity";

const PARTITIONS: [&str; 6] = ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "*"];

/// What the resource part of an ARN of IAM begins with.
const IAM_PATHS: [&str; 14] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
    "*",
];

/// Checks statements of the right syntax.
pub(crate) fn check(nodes: &[Node], statements: &[Statement], kind: Kind) -> Result<(), Wrong> {
    let places = || {
        let numbered = (1..).zip(nodes).zip(statements);
        numbered
            .map(|((number, node), statement)| (format!("Statement[{number}]"), node, statement))
    };
    for (place, node, _) in places() {
        each(node, "Resource", "NotResource", &place, |text| match is_legible(text) {
            true => Ok(()),
            false => Err("The policy failed legacy parsing".into()),
        })?;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (place, node, statement) in places() {
        let Some(sid) = statement.sid.as_deref() else { continue };
        let is_plain = sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if kind == Kind::Identity && !is_plain {
            let text = "Statement IDs (SID) must be alpha-numeric. Check that your input \
                        satisfies the regular expression [0-9A-Za-z]*";
            return Err(Wrong::new(text, format!("{place}.Sid"), node.start));
        }
        // ECR's policies may say one twice.
        if kind != Kind::Resource && !sid.is_empty() && seen.contains(&sid) {
            let text = "Statement IDs (SID) in a single policy must be unique.";
            return Err(Wrong::new(text, format!("{place}.Sid"), node.start));
        }
        seen.push(sid);
    }
    // Identity policies are told first what is wrong with what is there.
    let presence = || places().try_for_each(|(place, node, _)| present(node, kind, &place));
    if kind != Kind::Identity {
        presence()?;
    }
    for (place, node, _) in places() {
        each(node, "Resource", "NotResource", &place, resource)?;
    }
    for (place, node, _) in places() {
        each(node, "Action", "NotAction", &place, |text| action(text, kind))?;
    }
    if kind == Kind::Identity { presence() } else { Ok(()) }
}

/// What must be there, and what must not.
fn present(node: &Node, kind: Kind, place: &str) -> Result<(), Wrong> {
    let entries = node.entries().unwrap_or_default();
    let has = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| find(entries, name));
        found.filter(|entry| match &entry.node.value {
            Value::List(items) => !items.is_empty(),
            Value::Text(text) => !text.is_empty(),
            _ => true,
        })
    };
    let wrong = |text: &str| Err(Wrong::new(text, place, node.start));
    if has(["Action", "NotAction"]).is_none() {
        return wrong("Policy statement must contain actions.");
    }
    let principal = has(["Principal", "NotPrincipal"]);
    match kind {
        Kind::Identity if has(["Resource", "NotResource"]).is_none() => {
            wrong("Policy statement must contain resources.")
        }
        Kind::Identity if principal.is_some() => {
            wrong("Policy document should not specify a principal.")
        }
        Kind::Trust | Kind::Resource if principal.is_none() => {
            wrong("Policy statement must contain a principal.")
        }
        Kind::Trust if has(["Resource", "NotResource"]).is_some() => {
            wrong("Has prohibited field Resource.")
        }
        Kind::Identity | Kind::Trust | Kind::Resource => Ok(()),
    }
}

/// Checks each text of an element; what is wrong is said of the place where it stands.
fn each(
    node: &Node,
    plain: &str,
    not: &str,
    place: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<(), Wrong> {
    let entries = node.entries().unwrap_or_default();
    let Some(entry) = find(entries, plain).or_else(|| find(entries, not)) else { return Ok(()) };
    for item in entry.node.items() {
        let Value::Text(text) = &item.value else { continue };
        check(text)
            .map_err(|wrong| Wrong::new(wrong, format!("{place}.{}", entry.key), item.start))?;
    }
    Ok(())
}

/// Whether the first of IAM's parsers can read a resource: one that goes on after its service names
/// the service, and all fields up to the last, unless a wildcard stands for them.
fn is_legible(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match &parts[..] {
        ["arn", "aws", "", _, ..] => false,
        ["arn", "aws", _, _] | ["arn", "aws", _, _, _] => text.ends_with('*'),
        _ => true,
    }
}

fn resource(text: &str) -> Result<(), String> {
    if text == "*" {
        return Ok(());
    }
    // What stands before the first colon is not looked at.
    let Some((_, rest)) = text.split_once(':') else {
        return Err(format!("Resource {text} must be in ARN format or \"*\"."));
    };
    let mut parts: Vec<&str> = rest.splitn(5, ':').collect();
    let is_named = parts.len() > 1;
    parts.resize(5, "*");
    let [partition, service, region, _, path] = parts[..] else { return Ok(()) };
    if !PARTITIONS.contains(&partition) {
        let rest = parts.join(":");
        return Err(format!("Partition \"{partition}\" is not valid for resource \"arn:{rest}\"."));
    }
    if !is_named || service.contains(['*', '?']) {
        return Err("Resource vendor must be fully qualified and cannot contain regexes.".into());
    }
    let has_region = !region.is_empty() && region != "*";
    if service == "s3" && has_region && !path.starts_with("accesspoint") {
        return Err(format!("Resource {text} can not contain region information."));
    }
    if service == "iam" && rest.matches(':').count() >= 4 {
        if !region.is_empty() {
            return Err(format!("IAM resource {text} cannot contain region information."));
        }
        if !IAM_PATHS.iter().any(|known| path.starts_with(known)) && path != "root" {
            let known = IAM_PATHS[..IAM_PATHS.len() - 1].join(", ");
            return Err(format!("IAM resource path must either be \"*\" or start with {known}."));
        }
    }
    Ok(())
}

fn action(text: &str, kind: Kind) -> Result<(), String> {
    if kind == Kind::Trust {
        let is_known = OF_TRUST.contains(&text.to_ascii_lowercase().as_str());
        let is_wild = matches!(text, "sts:*" | "*");
        return if is_known || is_wild { Ok(()) } else { Err(TRUST_ACTIONS.to_owned()) };
    }
    let Some((vendor, name)) = text.split_once(':') else {
        return if text == "*" { Ok(()) } else { Err(NO_VENDOR.to_owned()) };
    };
    if name.contains(':') {
        return Err("Actions/Condition can contain only one colon.".into());
    }
    let is_vendor = !vendor.is_empty()
        && vendor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if is_vendor || text == "*:*" { Ok(()) } else { Err(format!("Vendor {vendor} is not valid")) }
}

const NO_VENDOR: &str =
    "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
