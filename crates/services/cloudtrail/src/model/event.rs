//! One call in the shape of CloudTrail's records (CloudTrail guide, "CloudTrail record contents").
//!
//! What was decided, which those records do not tell, stands in `additionalEventData`.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use terms::{Timestamp, Uuid};
use wire::{AuditedCall, Decided};

use super::identity;

/// The version of the records' shape.
const VERSION: &str = "1.11";
/// The service of paths of our own.
const OURS: &str = "longshore";
/// What precedes the sealed part of EC2's refusals.
const SEALED: &str = ". Encoded authorization failure message: ";
/// How operations that change nothing begin.
const READS: [&str; 10] = [
    "BatchCheck",
    "BatchGet",
    "Decode",
    "Describe",
    "Discover",
    "Filter",
    "Get",
    "List",
    "Lookup",
    "Simulate",
];
/// Codes of refusals of who may not.
const DENIALS: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];

/// A time as records have it: whole seconds.
pub(super) fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// Whether an operation changes nothing, as its name tells.
fn is_read(operation: &str) -> bool {
    READS.iter().any(|start| operation.starts_with(start))
}

/// Another id than the request's, though made of it: retries of clients have ids of their own.
fn event_id(seed: &[u8]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest([b"event", seed].concat())[..16]);
    Uuid::from_random(bytes).to_string()
}

/// The record of a call.
pub(crate) fn of_call(call: &AuditedCall) -> Value {
    let account = call.caller.as_ref().map(|caller| caller.account.to_string());
    let source = match call.service {
        OURS => OURS.to_owned(),
        service => format!("{service}.amazonaws.com"),
    };
    let mut record = json!({
        "eventVersion": VERSION,
        "userIdentity": identity::of(call),
        "eventTime": seconds(call.at),
        "eventSource": source,
        "eventName": call.operation,
        "awsRegion": call.region.as_str(),
        "sourceIPAddress": call.source.map(|source| source.ip().to_canonical().to_string()),
        "userAgent": call.user_agent,
        "requestParameters": parameters(&call.parameters),
        "responseElements": null,
        "additionalEventData": decision(call),
        "requestID": call.request_id.to_string(),
        "eventID": event_id(call.request_id.as_bytes()),
        "readOnly": is_read(call.operation),
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": account,
        "eventCategory": "Management",
    });
    let resources = resources(call);
    if !resources.is_empty() {
        record["resources"] = resources.into();
    }
    if let Some((code, text)) = &call.error {
        record["errorCode"] = code.as_str().into();
        // What is sealed in it stands beside it, readable.
        let text = text.split(SEALED).next().unwrap_or_default();
        record["errorMessage"] = text.into();
    }
    if call.is_tls {
        record["tlsDetails"] = json!({});
    }
    record
}

/// A record of the trail's own: that it began, what it lost, what it dropped.
pub(crate) fn of_ours(name: &str, at: Timestamp, told: Value, number: u64) -> Value {
    json!({
        "eventVersion": VERSION,
        "userIdentity": { "type": "AWSService", "invokedBy": OURS },
        "eventTime": seconds(at),
        "eventSource": OURS,
        "eventName": name,
        "additionalEventData": told,
        "eventID": event_id(format!("{name} {number} {}", at.millis()).as_bytes()),
        "readOnly": false,
        "eventType": "AwsServiceEvent",
        "managementEvent": true,
        "eventCategory": "Management",
    })
}

/// What the input names, under names that begin in lower case, as CloudTrail has them.
fn parameters(noted: &Map<String, Value>) -> Value {
    if noted.is_empty() {
        return Value::Null;
    }
    let lower = |name: &String| {
        let mut letters = name.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(letters).collect::<String>()
        })
    };
    noted.iter().map(|(name, value)| (lower(name), value.clone())).collect::<Map<_, _>>().into()
}

fn decision(call: &AuditedCall) -> Value {
    let Decided { by, refusal, .. } = &call.decided;
    let is_denied = call.error.as_ref().is_some_and(|(code, _)| DENIALS.contains(&code.as_str()));
    let explicit = refusal.as_ref().is_some_and(|told| told["explicitDeny"] == true);
    let word = match (refusal, is_denied, by) {
        (Some(_), _, _) if explicit => "explicitDeny",
        (Some(_), _, _) => "implicitDeny",
        (None, true, _) => "denied",
        (None, false, Some(_)) => "allowed",
        (None, false, None) => "unasked",
    };
    let mut told = json!({ "decision": word });
    if let Some(by) = by {
        told["decidedBy"] = by.as_str().into();
    }
    if let Some(refusal) = refusal {
        told["refusal"] = (**refusal).clone();
    }
    told
}

/// What was decided on; where nothing was, what the input names by ARN.
fn resources(call: &AuditedCall) -> Vec<Value> {
    let mut arns: Vec<&str> = call.decided.resources.iter().map(String::as_str).collect();
    if arns.is_empty() {
        let values = call.parameters.values().flat_map(|value| match value {
            Value::Array(items) => items.iter().collect::<Vec<_>>(),
            other => vec![other],
        });
        arns = values.filter_map(Value::as_str).collect();
    }
    arns.retain(|arn| arn.starts_with("arn:"));
    arns.into_iter()
        .map(|arn| {
            let account = arn.split(':').nth(4).filter(|account| !account.is_empty());
            json!({ "ARN": arn, "accountId": account })
        })
        .collect()
}

/// What people are looked up by: a user's name, a session's name.
pub(crate) fn username(record: &Value) -> Option<&str> {
    let identity = &record["userIdentity"];
    identity["userName"]
        .as_str()
        .or_else(|| identity["arn"].as_str().and_then(|arn| arn.rsplit('/').next()))
}
