//! The elements of a pattern's leaves, and what can be wrong with them.

use std::net::IpAddr;

use super::PatternError;
use super::event::Token;
use super::json::{Kind, Node, error};
use super::matcher::{Bounds, Matcher, Network};
use super::number::Number;

type Made = Result<Matcher, PatternError>;

const IGNORE_CASE: &str = "equals-ignore-case";
const BUT_TYPES: &str = "Value of anything-but must be an array or single string/number value.";

/// One element of a leaf.
pub(super) fn element(node: &Node, text: &str) -> Made {
    let token = match &node.kind {
        Kind::Object(entries) => return expression(entries, node, text),
        Kind::Array(_) => {
            let reason = "Match value must be String, number, true, false, or null";
            return Err(error(text, node.column, reason));
        }
        Kind::Text(value) => Token::Text(value.clone()),
        Kind::Number(_) => Token::Number(number(node, text)?),
        Kind::Boolean(value) => Token::Boolean(*value),
        Kind::Null => Token::Null,
    };
    Ok(Matcher::Is(token))
}

fn number(node: &Node, text: &str) -> Result<Number, PatternError> {
    let number = match &node.kind {
        Kind::Number(digits) => Number::parse(digits),
        _ => None,
    };
    number.ok_or_else(|| error(text, node.column, "A number is out of range"))
}

/// `{"prefix": "a"}` and its like.
fn expression(entries: &[(String, Node)], node: &Node, text: &str) -> Made {
    let Some((name, value)) = entries.first() else {
        return Err(error(text, node.column, "Match expression name not found"));
    };
    let made = operator(name, value, text)?;
    match entries.get(1) {
        None => Ok(made),
        Some((_, more)) => {
            Err(error(text, more.column, "Only one key allowed in match expression"))
        }
    }
}

fn operator(name: &str, value: &Node, text: &str) -> Made {
    match name {
        "exactly" => plain(name, value, text).map(|text| Matcher::Is(Token::Text(text))),
        "prefix" => match ignoring_case(value) {
            Some(prefix) => Ok(Matcher::PrefixIgnoringCase(prefix)),
            None => plain(name, value, text).map(Matcher::Prefix),
        },
        "suffix" => match ignoring_case(value) {
            Some(suffix) => Ok(Matcher::SuffixIgnoringCase(suffix)),
            None => plain(name, value, text).map(Matcher::Suffix),
        },
        IGNORE_CASE => {
            plain(name, value, text).map(|text| Matcher::IgnoringCase(text.to_lowercase()))
        }
        "wildcard" => {
            let pattern = plain(name, value, text)?;
            wildcard(&pattern, value, text)
        }
        "anything-but" => anything_but(value, text),
        "numeric" => numeric(value, text),
        "cidr" => cidr(&plain(name, value, text)?, value, text),
        "exists" => match value.kind {
            Kind::Boolean(wanted) => Ok(Matcher::Exists(wanted)),
            _ => {
                let reason = "exists match pattern must be either true or false.";
                Err(error(text, value.column, reason))
            }
        },
        other => Err(error(text, value.column, format!("Unrecognized match type {other}"))),
    }
}

/// The text of an operator that takes nothing else.
fn plain(name: &str, value: &Node, text: &str) -> Result<String, PatternError> {
    match &value.kind {
        Kind::Text(value) => Ok(value.clone()),
        _ => Err(error(text, value.column, format!("{name} match pattern must be a string"))),
    }
}

/// The text of `{"equals-ignore-case": …}` in small letters.
fn ignoring_case(value: &Node) -> Option<String> {
    match &value.kind {
        Kind::Object(entries) => match &entries[..] {
            [(name, Node { kind: Kind::Text(text), .. })] if name == IGNORE_CASE => {
                Some(text.to_lowercase())
            }
            _ => None,
        },
        _ => None,
    }
}

fn wildcard(pattern: &str, node: &Node, text: &str) -> Made {
    let mut pieces = vec![String::new()];
    let mut characters = pattern.chars().enumerate().peekable();
    let wrong = |reason: String| Err(error(text, node.column, reason));
    while let Some((index, c)) = characters.next() {
        match c {
            '*' if characters.peek().is_some_and(|(_, next)| *next == '*') => {
                return wrong(format!("Consecutive wildcard characters at pos {index}"));
            }
            '*' => pieces.push(String::new()),
            c => {
                let c = match (c, characters.peek()) {
                    ('\\', Some((_, escaped @ ('*' | '\\')))) => {
                        let escaped = *escaped;
                        characters.next();
                        escaped
                    }
                    ('\\', _) => {
                        return wrong(format!("Invalid escape character at pos {index}"));
                    }
                    _ => c,
                };
                if let Some(piece) = pieces.last_mut() {
                    piece.push(c);
                }
            }
        }
    }
    Ok(Matcher::Wildcard(pieces))
}

fn anything_but(value: &Node, text: &str) -> Made {
    let wrong = |node: &Node, reason: &str| Err(error(text, node.column, reason));
    let excluded = match &value.kind {
        Kind::Text(_) | Kind::Number(_) => vec![element(value, text)?],
        Kind::Array(items) => {
            let is_number = |node: &Node| matches!(node.kind, Kind::Number(_));
            let is_scalar = |node: &Node| is_number(node) || matches!(node.kind, Kind::Text(_));
            if let Some(item) = items.iter().find(|item| !is_scalar(item)) {
                let reason = "Inside anything but list, start|null|boolean is not supported.";
                return wrong(item, reason);
            }
            let Some(first) = items.first() else { return wrong(value, BUT_TYPES) };
            if let Some(item) = items.iter().find(|item| is_number(item) != is_number(first)) {
                let reason = "Inside anything but list, either all values are number or string, mixed type is not supported";
                return wrong(item, reason);
            }
            items.iter().map(|item| element(item, text)).collect::<Result<_, _>>()?
        }
        Kind::Object(entries) => match &entries[..] {
            [(name, value)] => but_nested(name, value, text)?,
            _ => return wrong(value, "Only one key allowed in match expression"),
        },
        Kind::Boolean(_) | Kind::Null => return wrong(value, BUT_TYPES),
    };
    Ok(Matcher::AnythingBut(excluded))
}

/// `{"anything-but": {"prefix": …}}`: a text or a list of them.
fn but_nested(name: &str, value: &Node, text: &str) -> Result<Vec<Matcher>, PatternError> {
    if !matches!(name, "prefix" | "suffix" | "wildcard" | IGNORE_CASE) {
        let reason = format!("Unsupported anything-but pattern: {name}");
        return Err(error(text, value.column, reason));
    }
    let is_edge = matches!(name, "prefix" | "suffix");
    let one = |node: &Node| {
        let Kind::Text(part) = &node.kind else {
            let kind = if is_edge { "prefix/suffix" } else { name };
            let reason = format!("{kind} match pattern must be a string");
            return Err(error(text, node.column, reason));
        };
        if is_edge && part.is_empty() {
            return Err(error(text, node.column, "Null prefix/suffix not allowed"));
        }
        operator(name, node, text)
    };
    match &value.kind {
        Kind::Array(items) if items.is_empty() => {
            Err(error(text, value.column, "Empty arrays are not allowed"))
        }
        Kind::Array(items) => items.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}

fn numeric(value: &Node, text: &str) -> Made {
    let Kind::Array(items) = &value.kind else {
        return Err(error(text, value.column, "Value of numeric must be an array."));
    };
    let mut items = items.iter();
    let (operator, bound) = comparison(&mut items, value, text)?;
    let mut bounds = match operator {
        "=" => Bounds { low: Some((bound, true)), high: Some((bound, true)) },
        "<" | "<=" => Bounds { low: None, high: Some((bound, operator == "<=")) },
        ">" | ">=" => Bounds { low: Some((bound, operator == ">=")), high: None },
        other => {
            let reason = format!("Unrecognized numeric range operator: {other}");
            return Err(error(text, value.column, reason));
        }
    };
    if items.len() > 0 && operator.starts_with('>') {
        let (second, high) = comparison(&mut items, value, text)?;
        if !second.starts_with('<') || !matches!(second, "<" | "<=") {
            let reason = format!("Bad numeric range operator: {second}");
            return Err(error(text, value.column, reason));
        }
        if bound >= high {
            return Err(error(text, value.column, "Bottom must be less than top"));
        }
        bounds.high = Some((high, second == "<="));
    }
    match items.next() {
        None => Ok(Matcher::Numeric(bounds)),
        Some(more) => Err(error(text, more.column, "Too many terms in numeric range expression")),
    }
}

/// An operator and its number.
fn comparison<'a>(
    items: &mut std::slice::Iter<'a, Node>,
    list: &Node,
    text: &str,
) -> Result<(&'a str, Number), PatternError> {
    let operator = match items.next() {
        Some(Node { kind: Kind::Text(operator), .. }) => operator.as_str(),
        Some(other) => {
            return Err(error(text, other.column, "Invalid member in numeric match"));
        }
        None => return Err(error(text, list.column, "Invalid member in numeric match: ]")),
    };
    match items.next() {
        Some(node @ Node { kind: Kind::Number(_), .. }) => Ok((operator, number(node, text)?)),
        other => {
            let column = other.map_or(list.column, |node| node.column);
            Err(error(text, column, format!("Value of {operator} must be numeric")))
        }
    }
}

fn cidr(network: &str, node: &Node, text: &str) -> Made {
    let wrong = |reason: String| Err(error(text, node.column, reason));
    let parts: Vec<&str> = network.split('/').collect();
    let [address, bits] = parts[..] else {
        return wrong("Malformed CIDR, one '/' required".to_owned());
    };
    let Ok(bits) = bits.parse::<u32>() else {
        return wrong("Malformed CIDR, mask bits must be an integer".to_owned());
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return wrong(format!("Nonstandard IP address: {address}"));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    match u8::try_from(bits).ok().filter(|bits| *bits <= most) {
        Some(bits) => Ok(Matcher::Cidr(Network { address, bits })),
        None => wrong(format!("Malformed CIDR, mask bits must be at most {most}")),
    }
}
