//! One call in the shape of CloudTrail's records (CloudTrail guide, "CloudTrail record contents").
//!
//! What was decided, which those records do not tell, stands in `additionalEventData`.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use terms::{Timestamp, Uuid};
use wire::{AuditedCall, Decided};

use super::identity::Identity;

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

/// A record, in the order in which CloudTrail's guide tells of its members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'static str,
    user_identity: Identity<'a>,
    event_time: String,
    event_source: &'a str,
    event_name: &'a str,
    aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: Option<String>,
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    request_parameters: Option<Map<String, Value>>,
    response_elements: Option<()>,
    additional_event_data: Decision<'a>,
    #[serde(rename = "requestID")]
    request_id: String,
    #[serde(rename = "eventID")]
    event_id: String,
    read_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    event_type: &'static str,
    management_event: bool,
    recipient_account_id: Option<&'a str>,
    event_category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_details: Option<Map<String, Value>>,
}

/// What a call is about.
#[derive(Serialize)]
struct Resource<'a> {
    #[serde(rename = "ARN")]
    arn: &'a str,
    #[serde(rename = "accountId")]
    account: Option<&'a str>,
}

/// What was decided, and by which statement.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decision<'a> {
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a Value>,
}

/// The record of a call, as JSON. Written member by member: there is one for each call, and a tree of
/// values for it cost as much as deciding the call.
pub(crate) fn of_call(call: &AuditedCall) -> String {
    let source = match call.service {
        OURS => OURS.to_owned(),
        service => format!("{service}.amazonaws.com"),
    };
    let error = call.error.as_ref();
    let record = Record {
        event_version: VERSION,
        user_identity: Identity::of(call),
        event_time: seconds(call.at),
        event_source: &source,
        event_name: call.operation,
        aws_region: call.region.as_str(),
        source_ip_address: call.source.map(|source| source.ip().to_canonical().to_string()),
        user_agent: call.user_agent.as_deref(),
        error_code: error.map(|(code, _)| code.as_str()),
        // What is sealed in it stands beside it, readable.
        error_message: error.and_then(|(_, text)| text.split(SEALED).next()),
        request_parameters: parameters(&call.parameters),
        response_elements: None,
        additional_event_data: decision(call),
        request_id: call.request_id.to_string(),
        event_id: event_id(call.request_id.as_bytes()),
        read_only: is_read(call.operation),
        resources: resources(call),
        event_type: "AwsApiCall",
        management_event: true,
        recipient_account_id: call.caller.as_ref().map(|caller| caller.account.as_str()),
        event_category: "Management",
        tls_details: call.is_tls.then(Map::new),
    };
    serde_json::to_string(&record).unwrap_or_default()
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
fn parameters(noted: &Map<String, Value>) -> Option<Map<String, Value>> {
    if noted.is_empty() {
        return None;
    }
    let lower = |name: &String| {
        let mut letters = name.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(letters).collect::<String>()
        })
    };
    Some(noted.iter().map(|(name, value)| (lower(name), value.clone())).collect())
}

fn decision(call: &AuditedCall) -> Decision<'_> {
    let Decided { by, refusal, .. } = &call.decided;
    let is_denied = call.error.as_ref().is_some_and(|(code, _)| DENIALS.contains(&code.as_str()));
    let explicit = refusal.as_ref().is_some_and(|told| told["explicitDeny"] == true);
    let decision = match (refusal, is_denied, by) {
        (Some(_), _, _) if explicit => "explicitDeny",
        (Some(_), _, _) => "implicitDeny",
        (None, true, _) => "denied",
        (None, false, Some(_)) => "allowed",
        (None, false, None) => "unasked",
    };
    Decision { decision, decided_by: by.as_deref(), refusal: refusal.as_deref() }
}

/// What was decided on; where nothing was, what the input names by ARN.
fn resources(call: &AuditedCall) -> Vec<Resource<'_>> {
    let mut arns: Vec<&str> = call.decided.resources.iter().map(String::as_str).collect();
    if arns.is_empty() {
        let values = call.parameters.values().flat_map(|value| match value {
            Value::Array(items) => items.as_slice(),
            other => std::slice::from_ref(other),
        });
        arns = values.filter_map(Value::as_str).collect();
    }
    arns.retain(|arn| arn.starts_with("arn:"));
    arns.into_iter()
        .map(|arn| Resource {
            arn,
            account: arn.split(':').nth(4).filter(|account| !account.is_empty()),
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
