//! A second evaluator, written straight from the rules, over plain JSON: slow, recursive, nothing
//! compiled. Only what tests generate is in it.

use policy::{Context, Principal, PrincipalKind, Values};
use serde_json::Value;

use crate::world::ACCOUNT;

pub(crate) struct Asked<'a> {
    pub(crate) caller: &'a Principal,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) context: &'a Context,
    /// Of the identity, the boundary, the session, the resource.
    pub(crate) documents: [Option<String>; 4],
}

/// `A`, `d` or `X`.
pub(crate) fn decide(asked: &Asked<'_>) -> char {
    if asked.action == "sts:GetCallerIdentity" {
        return 'A';
    }
    let found: [Vec<(bool, u8)>; 4] =
        std::array::from_fn(|set| applying(asked, asked.documents[set].as_deref(), set == 3));
    if found.iter().flatten().any(|(allows, _)| !allows) {
        return 'X';
    }
    let allows = |set: usize| !found[set].is_empty();
    let has = |set: usize| asked.documents[set].is_some();
    let federated = asked.caller.kind == PrincipalKind::FederatedUser;
    let capped = (!has(1) || allows(1)) && (allows(2) || (!has(2) && !federated));
    let best = found[3].iter().map(|(_, class)| *class).min();
    let own = allows(0) && capped;
    let assumes = asked.action.starts_with("sts:AssumeRole");
    let is_allowed = match asked.caller.kind {
        PrincipalKind::Service | PrincipalKind::WebIdentity | PrincipalKind::Anonymous => {
            best == Some(0)
        }
        PrincipalKind::Root => true,
        _ if asked.caller.account != ACCOUNT => own && best.is_some(),
        _ => match best {
            Some(0) => true,
            Some(1) => capped,
            Some(_) => own,
            None => own && !assumes,
        },
    };
    if is_allowed { 'A' } else { 'd' }
}

fn list(value: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Array(items) => items.iter().map(one).collect(),
        other => vec![one(other)],
    }
}

/// What applies: whether it allows, and how near it names the caller (0 itself, 1 role, 2 account).
fn applying(asked: &Asked<'_>, document: Option<&str>, has_principals: bool) -> Vec<(bool, u8)> {
    let Some(document) = document else { return Vec::new() };
    let document: Value = serde_json::from_str(document).unwrap();
    let statements = match &document["Statement"] {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    let mut out = Vec::new();
    for statement in statements {
        let class =
            if has_principals { class(asked.caller, &statement["Principal"]) } else { Some(0) };
        let action = element(&statement, "Action", |pattern| {
            wild(&pattern.to_lowercase(), &asked.action.to_lowercase())
        });
        let resource = element(&statement, "Resource", |pattern| {
            of_arn(pattern, asked.resource, asked.context)
        });
        let conditions = statement.get("Condition").and_then(Value::as_object);
        let holds = conditions.is_none_or(|operators| {
            operators.iter().all(|(operator, keys)| {
                let mut keys = keys.as_object().unwrap().iter();
                keys.all(|(key, values)| condition(operator, key, &list(values), asked.context))
            })
        });
        if let (Some(class), true, true, true) = (class, action, resource, holds) {
            out.push((statement["Effect"] == "Allow", class));
        }
    }
    out
}

fn element(statement: &Value, name: &str, matches: impl Fn(&str) -> bool) -> bool {
    if let Some(patterns) = statement.get(name) {
        return list(patterns).iter().any(|pattern| matches(pattern));
    }
    match statement.get(format!("Not{name}")) {
        Some(patterns) => !list(patterns).iter().any(|pattern| matches(pattern)),
        None => true,
    }
}

fn class(caller: &Principal, principal: &Value) -> Option<u8> {
    if principal == "*" {
        return Some(0);
    }
    let names = principal.get("AWS").map(list).unwrap_or_default();
    if names.iter().any(|name| name == "*") {
        return Some(0);
    }
    let services = principal.get("Service").map(list).unwrap_or_default();
    if caller.kind == PrincipalKind::Service {
        return services.contains(&caller.arn).then_some(0);
    }
    let root = format!("arn:aws:iam::{}:root", caller.account);
    let near = |name: &String| {
        if *name == caller.arn {
            Some(0)
        } else if *name == caller.entity_arn || *name == caller.entity_id {
            Some(u8::from(caller.kind != PrincipalKind::User))
        } else if *name == caller.account || *name == root {
            Some(2)
        } else {
            None
        }
    };
    names.iter().filter_map(near).min()
}

fn of_arn(pattern: &str, arn: &str, context: &Context) -> bool {
    if pattern == "*" {
        return true;
    }
    let (patterns, fields): (Vec<_>, Vec<_>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    if fields.len() < 6 || fields[0] != "arn" {
        return false;
    }
    (0..6).all(|at| {
        let pattern = patterns.get(at).copied().unwrap_or("*");
        filled(pattern, context).is_some_and(|pattern| wild_units(&pattern, fields[at]))
    })
}

/// A pattern's characters; those that came out of variables are literal.
fn filled(pattern: &str, context: &Context) -> Option<Vec<(char, bool)>> {
    let mut out = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        if let Some((inner, after)) = rest.strip_prefix("${").and_then(|rest| rest.split_once('}'))
        {
            rest = after;
            if ["*", "?", "$"].contains(&inner) {
                out.push((inner.chars().next().unwrap(), false));
                continue;
            }
            let (key, default) = match inner.split_once(", ") {
                Some((key, default)) => (key, Some(default.trim_matches('\''))),
                None => (inner, None),
            };
            let value = match context.get(&key.to_lowercase()) {
                Some(Values::One(value)) => Some(value.as_str()),
                _ => default,
            };
            out.extend(value?.chars().map(|c| (c, false)));
            continue;
        }
        let c = rest.chars().next().unwrap();
        out.push((c, c == '*' || c == '?'));
        rest = &rest[c.len_utf8()..];
    }
    Some(out)
}

fn wild(pattern: &str, text: &str) -> bool {
    let units: Vec<_> = pattern.chars().map(|c| (c, c == '*' || c == '?')).collect();
    wild_units(&units, text)
}

fn wild_units(pattern: &[(char, bool)], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    backtrack(pattern, &text)
}

fn backtrack(pattern: &[(char, bool)], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(('*', true)), _) => {
            backtrack(&pattern[1..], text) || (!text.is_empty() && backtrack(pattern, &text[1..]))
        }
        (Some(('?', true)), Some(_)) => backtrack(&pattern[1..], &text[1..]),
        (Some((c, false)), Some(other)) if c == other => backtrack(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn condition(operator: &str, key: &str, wanted: &[String], context: &Context) -> bool {
    let values = context.get(&key.to_lowercase());
    let (set, plain) = match operator.split_once(':') {
        Some((set, plain)) => (set, plain),
        None => ("", operator),
    };
    let (plain, if_exists) = match plain.strip_suffix("IfExists") {
        Some(plain) => (plain, true),
        None => (plain, false),
    };
    let negated = plain.contains("Not");
    let positive = plain.replace("Not", "");
    if positive == "Null" {
        let absent = values.is_none();
        return wanted.iter().any(|wanted| (wanted == "true") == absent);
    }
    let Some(values) = values else {
        return if_exists || set == "ForAllValues" || (set.is_empty() && negated);
    };
    let meets = |value: &String| {
        wanted.iter().any(|wanted| compare(&positive, wanted, value, context)) != negated
    };
    match (values, set) {
        (Values::List(list), "ForAllValues") => list.iter().all(meets),
        (Values::List(list), "ForAnyValue") => list.iter().any(meets),
        (Values::List(_), _) => false,
        (Values::One(value), _) => meets(value),
        (Values::Either(list), _) => list.iter().any(meets),
    }
}

fn compare(operator: &str, wanted: &str, value: &str, context: &Context) -> bool {
    let text = || {
        let filled = filled(wanted, context)?;
        Some(filled.iter().map(|(c, _)| *c).collect::<String>())
    };
    let number = |text: &str| text.parse::<f64>().ok();
    match operator {
        "StringEquals" => text().is_some_and(|wanted| wanted == value),
        "StringEqualsIgnoreCase" => {
            text().is_some_and(|wanted| wanted.to_lowercase() == value.to_lowercase())
        }
        "StringLike" => filled(wanted, context).is_some_and(|units| wild_units(&units, value)),
        "Bool" => wanted.to_lowercase() == value.to_lowercase(),
        "ArnEquals" | "ArnLike" => of_arn(wanted, value, context),
        "NumericEquals" => number(value).is_some_and(|value| number(wanted) == Some(value)),
        "NumericLessThanEquals" => {
            number(value).is_some_and(|value| number(wanted).is_some_and(|wanted| value <= wanted))
        }
        // The table's dates all have the same form, in which the order of texts is that of time.
        "DateLessThan" => value < wanted,
        "IpAddress" => {
            let bytes = |text: &str| {
                text.split('.').map(|b| b.parse::<u64>().unwrap()).fold(0, |n, b| n * 256 + b)
            };
            let (net, prefix) = wanted.split_once('/').unwrap_or((wanted, "32"));
            let size = 1_u64 << (32 - prefix.parse::<u32>().unwrap());
            bytes(net) / size == bytes(value) / size
        }
        other => panic!("{other} is not in this evaluator"),
    }
}
