//! The same language, matched in the simplest way, to compare with.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::Pattern;

/// A condition, as written and as meant.
#[derive(Clone, Debug)]
enum Naive {
    And(Box<Naive>, Box<Naive>),
    Or(Box<Naive>, Box<Naive>),
    Number(&'static str, &'static str, i64),
    Text(&'static str, bool, &'static str),
    Null(&'static str),
    Bool(&'static str, bool),
    Missing(&'static str),
}

const PATHS: [&str; 5] = ["$.a", "$.b", "$.a.b", "$.a[1]", "$.['b']"];
const ORDERS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];
const TEXTS: [&str; 4] = ["x", "x*", "*y", "2"];

impl Naive {
    /// Without more parentheses than the order of precedence needs.
    fn written(&self) -> String {
        let grouped = |one: &Self| match one {
            Self::Or(..) => format!("({})", one.written()),
            other => other.written(),
        };
        match self {
            Self::And(left, right) => format!("{} && {}", grouped(left), grouped(right)),
            Self::Or(left, right) => format!("{}||{}", left.written(), right.written()),
            Self::Number(path, operator, number) => format!("{path} {operator} {number}"),
            Self::Text(path, true, text) => format!("{path}=\"{text}\""),
            Self::Text(path, false, text) => format!("{path} != \"{text}\""),
            Self::Null(path) => format!("{path} IS NULL"),
            Self::Bool(path, true) => format!("{path} IS TRUE"),
            Self::Bool(path, false) => format!("{path} IS FALSE"),
            Self::Missing(path) => format!("{path} NOT EXISTS"),
        }
    }

    fn holds(&self, document: &Json) -> bool {
        let at = |path: &str| match path {
            "$.a" => document.get("a"),
            "$.b" | "$.['b']" => document.get("b"),
            "$.a.b" => document.get("a").and_then(|a| a.get("b")),
            _ => document.get("a").and_then(|a| a.get(1)),
        };
        let leaf = |path: &str| match at(path) {
            Some(Json::Object(_) | Json::Array(_)) | None => None,
            Some(Json::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        match self {
            Self::And(left, right) => left.holds(document) && right.holds(document),
            Self::Or(left, right) => left.holds(document) || right.holds(document),
            Self::Number(path, operator, number) => {
                let Some(text) = leaf(path) else { return false };
                match (text.parse::<i64>().ok(), *operator) {
                    (Some(found), "=") => found == *number,
                    (Some(found), "!=") => found != *number,
                    (Some(found), "<") => found < *number,
                    (Some(found), "<=") => found <= *number,
                    (Some(found), ">") => found > *number,
                    (Some(found), _) => found >= *number,
                    (None, "!=") => true,
                    (None, _) => false,
                }
            }
            Self::Text(path, is, wanted) => leaf(path).is_some_and(|text| {
                let matches = match *wanted {
                    "x*" => text.starts_with('x'),
                    "*y" => text.ends_with('y'),
                    wanted => text == wanted,
                };
                matches == *is
            }),
            Self::Null(path) => at(path) == Some(&Json::Null),
            Self::Bool(path, wanted) => at(path) == Some(&Json::Bool(*wanted)),
            Self::Missing(path) => at(path).is_none(),
        }
    }
}

fn conditions() -> impl Strategy<Value = Naive> {
    let path = || prop::sample::select(&PATHS[..]);
    let one = prop_oneof![
        (path(), prop::sample::select(&ORDERS[..]), 0_i64..4)
            .prop_map(|(path, operator, number)| Naive::Number(path, operator, number)),
        (path(), any::<bool>(), prop::sample::select(&TEXTS[..]))
            .prop_map(|(path, is, text)| Naive::Text(path, is, text)),
        path().prop_map(Naive::Null),
        (path(), any::<bool>()).prop_map(|(path, is)| Naive::Bool(path, is)),
        path().prop_map(Naive::Missing),
    ];
    one.prop_recursive(4, 12, 2, |inner| {
        let two = || (inner.clone(), inner.clone());
        prop_oneof![
            two().prop_map(|(left, right)| Naive::And(Box::new(left), Box::new(right))),
            two().prop_map(|(left, right)| Naive::Or(Box::new(left), Box::new(right))),
        ]
    })
}

fn documents() -> impl Strategy<Value = Json> {
    let leaf = || {
        prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            (0_i64..4).prop_map(|number| json!(number)),
            prop::sample::select(vec!["x", "xy", "2", ""]).prop_map(|text| json!(text)),
        ]
    };
    let a = prop_oneof![
        3 => leaf(),
        1 => leaf().prop_map(|b| json!({ "b": b })),
        1 => prop::collection::vec(leaf(), 0..3).prop_map(Json::Array),
    ];
    (prop::option::of(a), prop::option::of(leaf())).prop_map(|(a, b)| {
        let mut document = json!({});
        for (name, value) in [("a", a), ("b", b)] {
            if let Some(value) = value {
                document[name] = value;
            }
        }
        document
    })
}

/// Slots of fields: `None` is `...`, else what the field must be, if anything.
fn fields(slots: &[Option<Option<String>>], words: &[&str]) -> bool {
    match (slots.split_first(), words.split_first()) {
        (None, words) => words.is_none(),
        (Some((None, rest)), _) => (0..=words.len()).any(|at| fields(rest, &words[at..])),
        // A last name without a condition takes what is left.
        (Some((Some(None), [])), Some(_)) => true,
        (Some((Some(wanted), rest)), Some((word, words))) => {
            wanted.as_ref().is_none_or(|wanted| wanted == word) && fields(rest, words)
        }
        (Some((Some(_), _)), None) => false,
    }
}

proptest! {
    #[test]
    fn conditions_mean_the_same(condition in conditions(), document in documents()) {
        let written = format!("{{ {} }}", condition.written());
        let pattern = Pattern::parse(&written).unwrap();
        prop_assert_eq!(
            pattern.matches(&document.to_string()), condition.holds(&document), "{}", written
        );
    }

    #[test]
    fn fields_mean_the_same(
        head in prop::collection::vec(prop::option::of("[ab]{1,2}"), 0..4),
        tail in prop::option::of(prop::collection::vec(prop::option::of("[ab]{1,2}"), 0..3)),
        words in prop::collection::vec("[ab]{1,2}", 0..6),
    ) {
        prop_assume!(!head.is_empty() || tail.is_some());
        let mut slots: Vec<_> = head.into_iter().map(Some).collect();
        // After `...` a last name takes one field: only the naive matcher would let it take more.
        let ends_open = tail.is_none();
        if let Some(tail) = tail {
            slots.push(None);
            slots.extend(tail.into_iter().map(Some));
        }
        let written: Vec<String> = slots
            .iter()
            .enumerate()
            .map(|(at, slot)| match slot {
                None => "...".to_owned(),
                Some(None) => format!("w{at}"),
                Some(Some(wanted)) => format!("w{at} = {wanted}"),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let pattern = Pattern::parse(&format!("[{}]", written.join(", "))).unwrap();
        let expected = match ends_open {
            true => fields(&slots, &words),
            false => {
                let mut slots = slots.clone();
                // One more that never takes the rest: a field that must be what it is.
                slots.push(Some(Some("end".to_owned())));
                let mut words = words.clone();
                words.push("end");
                fields(&slots, &words)
            }
        };
        prop_assert_eq!(pattern.matches(&words.join(" ")), expected, "{:?}", written);
    }
}
