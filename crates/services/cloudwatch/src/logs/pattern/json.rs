//! Patterns of JSON: `{ $.status >= 500 && ($.user = "a*" || $.error NOT EXISTS) }`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::Invalid;
use super::cursor::Cursor;
use super::value::{Operator, Value, number};

/// How deep parentheses may stand in each other.
const DEPTH_MAX: usize = 64;
/// Wildcards of one pattern.
const WILDCARDS_MAX: usize = 3;
/// What ends a bare word.
const ENDS: &str = "()&|{}";

/// Conditions and how they are joined.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    /// All of them.
    All(Vec<Expression>),
    /// One of them.
    Any(Vec<Expression>),
    /// One.
    Condition(Condition),
}

/// A condition on a member.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    selector: Selector,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Compares(Operator, Value),
    IsNull,
    Is(bool),
    NotExists,
}

/// Where a member is.
#[derive(Clone, Debug)]
struct Selector {
    steps: Vec<Step>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
    EveryElement,
    EveryMember,
}

/// Reads a pattern in braces.
pub(super) fn parse(text: &str) -> Result<Expression, Invalid> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(Invalid)?;
    let mut cursor = Cursor::new(inner);
    let expression = any(&mut cursor, 0)?;
    if !cursor.is_at_end() || expression.wildcards() > WILDCARDS_MAX {
        return Err(Invalid);
    }
    Ok(expression)
}

fn any(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expression, Invalid> {
    let mut parts = vec![all(cursor, depth)?];
    while cursor.eat("||") {
        parts.push(all(cursor, depth)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
}

fn all(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expression, Invalid> {
    let mut parts = vec![one(cursor, depth)?];
    while cursor.eat("&&") {
        parts.push(one(cursor, depth)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
}

fn one(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expression, Invalid> {
    if cursor.eat("(") {
        if depth == DEPTH_MAX {
            return Err(Invalid);
        }
        let inner = any(cursor, depth + 1)?;
        return if cursor.eat(")") { Ok(inner) } else { Err(Invalid) };
    }
    let selector = selector(cursor)?;
    let test = if let Some(operator) = cursor.operator() {
        let value = cursor.value(ENDS)?;
        if !value.suits(operator) {
            return Err(Invalid);
        }
        Test::Compares(operator, value)
    } else if cursor.eat_word("IS") {
        match () {
            () if cursor.eat_word("NULL") => Test::IsNull,
            () if cursor.eat_word("TRUE") => Test::Is(true),
            () if cursor.eat_word("FALSE") => Test::Is(false),
            () => return Err(Invalid),
        }
    } else if cursor.eat_word("NOT") && cursor.eat_word("EXISTS") {
        Test::NotExists
    } else {
        return Err(Invalid);
    };
    Ok(Expression::Condition(Condition { selector, test }))
}

fn selector(cursor: &mut Cursor<'_>) -> Result<Selector, Invalid> {
    if !cursor.eat("$") {
        return Err(Invalid);
    }
    let (mut steps, mut text) = (Vec::new(), "$".to_owned());
    loop {
        if cursor.eat_here(".[") || cursor.eat_here("[") {
            let step = bracketed(cursor)?;
            text.push_str(&match &step {
                Step::Member(name) => format!(".['{name}']"),
                Step::Element(at) => format!("[{at}]"),
                Step::EveryElement | Step::EveryMember => "[*]".to_owned(),
            });
            steps.push(step);
        } else if cursor.eat_here(".*") {
            text.push_str(".*");
            steps.push(Step::EveryMember);
        } else if cursor.eat_here(".") {
            let name = cursor.while_is(|c| c.is_alphanumeric() || c == '_' || c == '-');
            if name.is_empty() {
                return Err(Invalid);
            }
            text.push('.');
            text.push_str(name);
            steps.push(Step::Member(name.to_owned()));
        } else {
            break;
        }
    }
    let wildcards = steps.iter().filter(|step| step.is_wildcard()).count();
    match steps.is_empty() || wildcards > 1 {
        true => Err(Invalid),
        false => Ok(Selector { steps, text }),
    }
}

fn bracketed(cursor: &mut Cursor<'_>) -> Result<Step, Invalid> {
    let step = match cursor.peek() {
        Some(quote @ ('\'' | '"')) => {
            cursor.eat_here(&quote.to_string());
            Step::Member(cursor.until(quote)?.to_owned())
        }
        Some('*') => {
            cursor.eat_here("*");
            Step::EveryElement
        }
        _ => {
            let digits = cursor.while_is(|c| c.is_ascii_digit());
            Step::Element(digits.parse().map_err(|_| Invalid)?)
        }
    };
    if cursor.eat_here("]") { Ok(step) } else { Err(Invalid) }
}

impl Step {
    fn is_wildcard(&self) -> bool {
        matches!(self, Self::EveryElement | Self::EveryMember)
    }
}

impl Selector {
    /// What it means in a document.
    fn select<'a>(&self, document: &'a Json) -> Vec<&'a Json> {
        let mut found = vec![document];
        for step in &self.steps {
            found = found
                .into_iter()
                .flat_map(|value| -> Vec<&'a Json> {
                    match (step, value) {
                        (Step::Member(name), Json::Object(all)) => {
                            all.get(name).into_iter().collect()
                        }
                        (Step::Element(at), Json::Array(all)) => all.get(*at).into_iter().collect(),
                        (Step::EveryElement, Json::Array(all)) => all.iter().collect(),
                        (Step::EveryMember, Json::Object(all)) => all.values().collect(),
                        _ => Vec::new(),
                    }
                })
                .collect();
        }
        found
    }
}

impl Condition {
    fn holds(&self, document: &Json) -> bool {
        let found = self.selector.select(document);
        match &self.test {
            Test::NotExists => found.is_empty(),
            Test::IsNull => found.iter().any(|value| value.is_null()),
            Test::Is(wanted) => found.iter().any(|value| value.as_bool() == Some(*wanted)),
            Test::Compares(operator, value) => {
                found.iter().any(|found| compares(*operator, value, found))
            }
        }
    }
}

/// Objects and lists compare with nothing.
fn compares(operator: Operator, wanted: &Value, found: &Json) -> bool {
    match found {
        Json::Object(_) | Json::Array(_) => false,
        Json::Null => wanted.compares_text(operator, "null"),
        Json::Bool(found) => wanted.compares_text(operator, if *found { "true" } else { "false" }),
        Json::Number(found) => {
            let written = found.to_string();
            number(&written)
                .is_some_and(|as_number| wanted.compares_number(operator, as_number, &written))
        }
        Json::String(found) => wanted.compares_text(operator, found),
    }
}

impl Expression {
    fn conditions<'a>(&'a self, each: &mut impl FnMut(&'a Condition)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.conditions(each));
            }
            Self::Condition(condition) => each(condition),
        }
    }

    pub(super) fn regexes(&self) -> usize {
        let mut count = 0;
        self.conditions(&mut |condition| {
            let is_regex = matches!(&condition.test, Test::Compares(_, value) if value.is_regex());
            count += usize::from(is_regex);
        });
        count
    }

    fn wildcards(&self) -> usize {
        let mut count = 0;
        self.conditions(&mut |condition| {
            count += condition.selector.steps.iter().filter(|step| step.is_wildcard()).count();
        });
        count
    }

    fn holds(&self, document: &Json) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(document)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(document)),
            Self::Condition(condition) => condition.holds(document),
        }
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        read(message).is_some_and(|document| self.holds(&document))
    }

    pub(super) fn extracted(&self, message: &str) -> BTreeMap<String, String> {
        let mut extracted = BTreeMap::new();
        let Some(document) = read(message) else { return extracted };
        self.conditions(&mut |condition| {
            let found = condition.selector.select(&document);
            let text = found.first().map(|value| match value {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            });
            extracted.extend(text.map(|text| (condition.selector.text.clone(), text)));
        });
        extracted
    }
}

/// A message that is an object or a list.
fn read(message: &str) -> Option<Json> {
    let message = message.trim_start();
    if !message.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(message).ok()
}
