//! What is known of a refusal: in the form that `DecodeAuthorizationMessage` answers with, and sealed
//! as the message that some services' refusals carry.

use data_encoding::BASE64URL_NOPAD;
use policy::{
    Cause, Context as Keys, Decision, Effect, Match, Outcome, PolicySets, Request, Set, Values,
    explain,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};
use terms::Uuid;

use crate::sessions::Sessions;

/// What the keys of sealed messages are for.
const PURPOSE: &[u8] = b"denial";
/// Bytes of a request's id, which the key of its message is made with.
const ID_BYTES: usize = 16;
/// Characters of one value that are told.
const VALUE_MAX: usize = 256;
/// The longest message that is looked at (STS API reference: 10 240 characters).
const MESSAGE_MAX: usize = 10_240;

/// All of a refusal, in the members that AWS's decoded messages have.
pub(crate) fn told(request: &Request<'_>, sets: &PolicySets<'_>, decision: &Decision) -> Value {
    let found = explain(request, sets);
    let denies = |found: &&Match| {
        sets.source(**found).and_then(|source| source.policy.effect(found.statement))
            == Some(Effect::Deny)
    };
    let denied: Vec<Value> =
        found.iter().filter(denies).filter_map(|found| statement(sets, *found)).collect();
    let allowed: Vec<Value> = found
        .iter()
        .filter(|found| !denies(found))
        .filter_map(|found| statement(sets, *found))
        .collect();
    let principal = request.principal;
    json!({
        "allowed": decision.outcome == Outcome::Allowed,
        "explicitDeny": decision.outcome == Outcome::ExplicitDeny,
        "matchedStatements": { "items": if denied.is_empty() { allowed } else { denied } },
        "failures": { "items": failures(decision) },
        "context": {
            "principal": { "id": principal.entity_id, "arn": principal.arn },
            "action": request.action,
            "resource": request.resource,
            "conditions": { "items": conditions(request.context) },
        },
    })
}

/// The set of policies that allows nothing, if that is why.
fn failures(decision: &Decision) -> Vec<Value> {
    match decision.cause {
        Cause::Missing(set) => vec![json!({ "missingAllow": called(set) })],
        Cause::Allowed(_) | Cause::Denied(_) | Cause::Unasked => Vec::new(),
    }
}

fn called(set: Set) -> &'static str {
    match set {
        Set::Identity => "identity-based policy",
        Set::Boundary => "permissions boundary",
        Set::Session => "session policy",
        Set::Resource => "resource-based policy",
    }
}

/// A statement by its policy and its place.
fn statement(sets: &PolicySets<'_>, found: Match) -> Option<Value> {
    let source = sets.source(found)?;
    let (start, end) = source.policy.span(found.statement)?;
    let effect = match source.policy.effect(found.statement)? {
        Effect::Allow => "ALLOW",
        Effect::Deny => "DENY",
    };
    Some(json!({
        "statementId": source.policy.sid(found.statement).unwrap_or_default(),
        "effect": effect,
        "policy": source.arn.as_deref().unwrap_or(&source.name),
        "policyType": called(found.set),
        "statement": found.statement + 1,
        "lines": [start.line, end.line],
    }))
}

/// The statement that a decision rests on, in one word: its policy and its `Sid` or number.
pub(crate) fn by(sets: &PolicySets<'_>, decision: &Decision) -> Option<String> {
    let (Cause::Allowed(found) | Cause::Denied(found)) = decision.cause else { return None };
    let source = sets.source(found)?;
    let policy = source.arn.as_deref().unwrap_or(&source.name);
    Some(match source.policy.sid(found.statement) {
        Some(sid) => format!("{policy}#{sid}"),
        None => format!("{policy}#{}", found.statement + 1),
    })
}

fn conditions(keys: &Keys) -> Vec<Value> {
    let one = |(key, values): (&str, &Values)| {
        let values: Vec<&String> = match values {
            Values::One(value) => vec![value],
            Values::List(values) | Values::Either(values) => values.iter().collect(),
        };
        let values = values.into_iter().map(|value| {
            let short: String = value.chars().take(VALUE_MAX).collect();
            json!({ "value": short })
        });
        json!({ "key": key, "values": { "items": values.collect::<Vec<_>>() } })
    };
    keys.iter().map(one).collect()
}

impl Sessions {
    /// The message of a refusal, which nobody else can read or make. Each request has a key of its own, so
    /// that one nonce does.
    pub(crate) fn encode(&self, request_id: Uuid, account: &str, told: &Value) -> Option<String> {
        let id = *request_id.as_bytes();
        let mut sealed = told.to_string().into_bytes();
        let aad = Aad::from(account.as_bytes());
        self.of_message(&id)?.seal_in_place_append_tag(nonce(), aad, &mut sealed).ok()?;
        Some(BASE64URL_NOPAD.encode(&[&id[..], &sealed].concat()))
            .filter(|text| text.len() <= MESSAGE_MAX)
    }

    /// What a message says, if this control plane made it for this account.
    pub(crate) fn decode(&self, account: &str, message: &str) -> Option<String> {
        if message.len() > MESSAGE_MAX {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(message.as_bytes()).ok()?;
        let (id, sealed) = bytes.split_at_checked(ID_BYTES)?;
        let (key, mut sealed) = (self.of_message(id)?, sealed.to_vec());
        let opened = key.open_in_place(nonce(), Aad::from(account.as_bytes()), &mut sealed).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }

    fn of_message(&self, id: &[u8]) -> Option<LessSafeKey> {
        let key = self.key_for(PURPOSE, id);
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?))
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
