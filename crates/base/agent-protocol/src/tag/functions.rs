//! The functions of templates: Docker's, and Go's.

use std::cmp::Ordering;

use super::Value;

/// All functions.
pub(super) const NAMES: [&str; 23] = [
    "json", "split", "join", "title", "lower", "upper", "pad", "truncate", "and", "or", "not",
    "eq", "ne", "lt", "le", "gt", "ge", "index", "len", "slice", "print", "printf", "println",
];
/// The longest text that a function makes, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Calls a function.
pub(super) fn call(name: &str, given: &[Value]) -> Result<Value, String> {
    let wrong = || format!("the function '{name}' cannot take what it is given");
    let text = |value: &Value| match value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(wrong()),
    };
    let made = match (name, given) {
        ("json", [value]) => Value::Text(json(value)),
        ("split", [of, by]) => {
            let (of, by) = (text(of)?, text(by)?);
            Value::List(of.split(by.as_str()).map(|one| Value::Text(one.to_owned())).collect())
        }
        ("join", [Value::List(list), by]) => {
            let list: Result<Vec<String>, String> = list.iter().map(text).collect();
            Value::Text(list?.join(&text(by)?))
        }
        ("title", [of]) => Value::Text(title(&text(of)?)),
        ("lower", [of]) => Value::Text(text(of)?.to_lowercase()),
        ("upper", [of]) => Value::Text(text(of)?.to_uppercase()),
        ("pad", [of, Value::Number(before), Value::Number(after)]) => {
            pad(&text(of)?, *before, *after).ok_or_else(wrong)?
        }
        ("truncate", [of, Value::Number(length)]) => {
            let (of, length) = (text(of)?, usize::try_from(*length).map_err(|_| wrong())?);
            Value::Text(of.get(..length).map_or(of.clone(), str::to_owned))
        }
        ("and", [.., last]) => given.iter().find(|one| !one.is_true()).unwrap_or(last).clone(),
        ("or", [.., last]) => given.iter().find(|one| one.is_true()).unwrap_or(last).clone(),
        ("not", [one]) => Value::Truth(!one.is_true()),
        ("eq", [first, others @ ..]) if !others.is_empty() => Value::Truth(others.contains(first)),
        ("ne", [one, other]) => Value::Truth(one != other),
        ("lt" | "le" | "gt" | "ge", [one, other]) => {
            let order = compare(one, other).ok_or_else(wrong)?;
            Value::Truth(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
        ("index", [of, places @ ..]) => index(of, places).ok_or_else(wrong)?,
        ("len", [of]) => Value::Number(length(of).ok_or_else(wrong)?),
        ("slice", [of, places @ ..]) => slice(of, places).ok_or_else(wrong)?,
        ("print", all) => Value::Text(print(all)),
        ("println", all) => {
            let words: Vec<String> = all.iter().map(Value::written).collect();
            Value::Text(words.join(" ") + "\n")
        }
        ("printf", [format, given @ ..]) => Value::Text(printf(&text(format)?, given)?),
        _ => return Err(wrong()),
    };
    match &made {
        Value::Text(text) if text.len() > MAX_BYTES => Err(wrong()),
        _ => Ok(made),
    }
}

fn json(value: &Value) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        Value::Nil | Value::Container => "null".to_owned(),
        Value::Truth(_) | Value::Number(_) => value.written(),
        Value::Text(text) => quoted(text),
        Value::List(list) => {
            let all: Vec<String> = list.iter().map(json).collect();
            format!("[{}]", all.join(","))
        }
        Value::Map(map) => {
            let all = map.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(","))
        }
    }
}

/// Each word with a capital letter.
fn title(text: &str) -> String {
    let mut begins = true;
    let letter = |c: char| {
        let first = begins && c.is_alphanumeric();
        begins = !c.is_alphanumeric() && c != '_' && c != '\'';
        let made: Vec<char> = if first { c.to_uppercase().collect() } else { vec![c] };
        made
    };
    text.chars().flat_map(letter).collect()
}

/// Spaces around a text, unless it is empty.
fn pad(text: &str, before: i64, after: i64) -> Option<Value> {
    let spaces = |count: i64| {
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= MAX_BYTES)
            .map(|count| " ".repeat(count))
    };
    let (before, after) = (spaces(before)?, spaces(after)?);
    Some(Value::Text(if text.is_empty() { String::new() } else { before + text + &after }))
}

fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => Some(one.cmp(other)),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn length(of: &Value) -> Option<i64> {
    let length = match of {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Nil | Value::Truth(_) | Value::Number(_) | Value::Container => return None,
    };
    i64::try_from(length).ok()
}

fn index(of: &Value, places: &[Value]) -> Option<Value> {
    let Some((place, rest)) = places.split_first() else { return Some(of.clone()) };
    let found = match (of, place) {
        (Value::List(list), Value::Number(at)) => list.get(usize::try_from(*at).ok()?)?.clone(),
        (Value::Text(text), Value::Number(at)) => {
            let byte = text.as_bytes().get(usize::try_from(*at).ok()?)?;
            Value::Number((*byte).into())
        }
        // What is not there is empty.
        (Value::Map(map), Value::Text(name)) => {
            Value::Text(map.get(name).cloned().unwrap_or_default())
        }
        _ => return None,
    };
    index(&found, rest)
}

fn slice(of: &Value, places: &[Value]) -> Option<Value> {
    let length = usize::try_from(length(of)?).ok()?;
    let place = |at: usize, usual: usize| match places.get(at) {
        None => Some(usual),
        Some(Value::Number(number)) => usize::try_from(*number).ok(),
        Some(_) => None,
    };
    let (from, to) = (place(0, 0)?, place(1, length)?);
    if places.len() > 2 {
        return None;
    }
    match of {
        Value::Text(text) => Some(Value::Text(text.get(from..to)?.to_owned())),
        Value::List(list) => Some(Value::List(list.get(from..to)?.to_vec())),
        _ => None,
    }
}

/// As Go's `Sprint`: a space between two values of which neither is a text.
fn print(all: &[Value]) -> String {
    let mut text = String::new();
    for (at, value) in all.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if at > 0 && !is_text(value) && !is_text(&all[at - 1]) {
            text.push(' ');
        }
        text.push_str(&value.written());
    }
    text
}

/// As Go's `Sprintf`, with the verbs s, v, q, d and t, a width, and a minus before it.
fn printf(format: &str, given: &[Value]) -> Result<String, String> {
    let (mut made, mut given, mut rest) = (String::new(), given.iter(), format);
    while let Some((before, after)) = rest.split_once('%') {
        made.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let is_left = after.starts_with('-');
        let after = after.strip_prefix('-').unwrap_or(after);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let width: usize = match &after[..digits] {
            "" => 0,
            digits => digits
                .parse()
                .ok()
                .filter(|width| *width <= MAX_BYTES)
                .ok_or("a width is too large")?,
        };
        let verb = after[digits..].chars().next().ok_or("'%' at the end of a format")?;
        let value = given.next().ok_or("a format asks for more than it is given")?;
        let text = match (verb, value) {
            ('v', _) | ('s', Value::Text(_) | Value::List(_) | Value::Map(_)) => value.written(),
            ('d', Value::Number(_)) | ('t', Value::Truth(_)) => value.written(),
            ('q', Value::Text(_)) => json(value),
            _ => return Err(format!("'%{verb}' cannot write what it is given")),
        };
        made.push_str(&match is_left {
            true => format!("{text:<width$}"),
            false => format!("{text:>width$}"),
        });
        rest = &after[digits + verb.len_utf8()..];
    }
    made.push_str(rest);
    match given.next() {
        Some(_) => Err("a format asks for less than it is given".to_owned()),
        None => Ok(made),
    }
}
