//! One statement, compiled.

use crate::arn::ArnPattern;
use crate::condition::{Condition, Operator};
use crate::glob::{Glob, Reading};
use crate::json::{Entry, Node, Value};
use crate::malformed::Wrong;
use crate::principal::{Class, Named, Principals};
use crate::{Arn, Context, Kind, Position, Principal};

/// What a statement does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// `Action` or `NotAction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actions {
    pub(crate) negated: bool,
    pub(crate) patterns: Vec<ActionPattern>,
}

impl Actions {
    /// Whether an action is meant; its halves are in lower case.
    pub(crate) fn mean(&self, asked: &Asked<'_>) -> bool {
        let Asked { service, name, context, .. } = *asked;
        let is_listed = self.patterns.iter().any(|one| one.matches(service, name, context));
        is_listed != self.negated
    }
}

/// A pattern of actions, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionPattern {
    /// The service's prefix; none for all services.
    pub(crate) service: Option<Box<str>>,
    name: Glob,
}

impl ActionPattern {
    fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let reading = Reading { wildcards: true, variables: false };
        match text.split_once(':') {
            Some(("*", name)) => Self { service: None, name: Glob::new(name, reading) },
            Some((service, name)) => {
                Self { service: Some(service.into()), name: Glob::new(name, reading) }
            }
            None if text == "*" => Self { service: None, name: Glob::Any },
            // Without a service it names nothing.
            None => Self { service: Some(text.into()), name: Glob::new("", reading) },
        }
    }

    fn matches(&self, service: &str, name: &str, context: &Context) -> bool {
        self.service.as_deref().is_none_or(|own| own == service) && self.name.matches(name, context)
    }
}

/// `Resource` or `NotResource`.
#[derive(Debug, Clone)]
struct Resources {
    negated: bool,
    patterns: Vec<ArnPattern>,
}

/// What a request asks of a statement; the action's halves are in lower case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) service: &'a str,
    pub(crate) name: &'a str,
    pub(crate) resource: &'a Arn<'a>,
    pub(crate) context: &'a Context,
}

/// One statement.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) principals: Option<Principals>,
    pub(crate) actions: Actions,
    resources: Option<Resources>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) start: Position,
    pub(crate) end: Position,
}

impl Statement {
    /// Whether resource and conditions are the request's. Of its actions whoever asks knows.
    pub(crate) fn applies(&self, asked: &Asked<'_>) -> bool {
        let Asked { resource, context, .. } = *asked;
        self.resources.as_ref().is_none_or(|resources| {
            let listed =
                resources.patterns.iter().any(|pattern| pattern.matches(resource, context));
            listed != resources.negated
        }) && self.conditions.iter().all(|condition| condition.holds(context))
    }

    /// How it names the caller; a statement without principals names none.
    pub(crate) fn class(&self, caller: &Principal) -> Option<Class> {
        let denies = self.effect == Effect::Deny;
        self.principals.as_ref().and_then(|principals| principals.class(caller, denies))
    }

    /// The condition keys that it asks for, in lower case.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let patterns = self.resources.iter().flat_map(|resources| &resources.patterns);
        let in_resources = patterns.flat_map(ArnPattern::keys);
        in_resources.chain(self.conditions.iter().flat_map(Condition::keys))
    }

    /// Compiles the object of a statement. `place` is its name, such as `Statement[1]`.
    pub(crate) fn compile(
        node: &Node,
        text: &str,
        kind: Kind,
        variables: bool,
        place: &str,
    ) -> Result<Self, Wrong> {
        let entries = node.entries().ok_or_else(|| Wrong::syntax(place, node.start))?;
        for entry in entries {
            if !ELEMENTS.contains(&entry.key.as_str()) {
                return Err(Wrong::syntax(format!("{place}.{}", entry.key), entry.start));
            }
        }
        let pair = |plain: &str, not: &str| one_of(entries, plain, not, place);
        let effect = effect(entries, place, node.start)?;
        let actions = pair("Action", "NotAction")?.map(|(entry, negated)| {
            let patterns = texts(entry, place)?.iter().map(|t| ActionPattern::new(t)).collect();
            Ok(Actions { negated, patterns })
        });
        let resources = pair("Resource", "NotResource")?.map(|(entry, negated)| {
            let pads = kind != Kind::Resource;
            let compile = |text: &String| ArnPattern::resource(text, variables, pads);
            Ok(Resources { negated, patterns: texts(entry, place)?.iter().map(compile).collect() })
        });
        let principals = pair("Principal", "NotPrincipal")?
            .map(|(entry, negated)| principals(entry, negated, place));
        let sid = find(entries, "Sid").map(|entry| match &entry.node.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(Wrong::syntax(format!("{place}.Sid"), entry.node.start)),
        });
        let conditions = find(entries, "Condition");
        Ok(Self {
            sid: sid.transpose()?,
            effect,
            principals: principals.transpose()?,
            actions: actions
                .transpose()?
                .unwrap_or(Actions { negated: false, patterns: Vec::new() }),
            resources: resources.transpose()?,
            conditions: conditions
                .map(|entry| compile_conditions(entry, variables, place))
                .transpose()?
                .unwrap_or_default(),
            start: Position::of(text, node.start),
            end: Position::of(text, node.end),
        })
    }
}

const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

pub(crate) fn find<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.key == name)
}

/// The one of two elements that is there, and whether it is the negated one.
fn one_of<'a>(
    entries: &'a [Entry],
    plain: &str,
    not: &str,
    place: &str,
) -> Result<Option<(&'a Entry, bool)>, Wrong> {
    match (find(entries, plain), find(entries, not)) {
        (Some(_), Some(second)) => Err(Wrong::syntax(format!("{place}.{not}"), second.start)),
        (Some(entry), None) => Ok(Some((entry, false))),
        (None, Some(entry)) => Ok(Some((entry, true))),
        (None, None) => Ok(None),
    }
}

fn effect(entries: &[Entry], place: &str, start: usize) -> Result<Effect, Wrong> {
    let Some(entry) = find(entries, "Effect") else {
        return Err(Wrong::syntax(format!("{place}.Effect"), start));
    };
    let place = format!("{place}.Effect");
    match &entry.node.value {
        Value::Text(text) if text == "Allow" => Ok(Effect::Allow),
        Value::Text(text) if text == "Deny" => Ok(Effect::Deny),
        Value::Text(text)
            if text.eq_ignore_ascii_case("allow") || text.eq_ignore_ascii_case("deny") =>
        {
            Err(Wrong::legacy(place, entry.node.start))
        }
        _ => Err(Wrong::syntax(place, entry.node.start)),
    }
}

/// Texts, one or a list.
fn texts(entry: &Entry, place: &str) -> Result<Vec<String>, Wrong> {
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(Wrong::syntax(format!("{place}.{}", entry.key), node.start)),
    };
    entry.node.items().iter().map(text).collect()
}

fn principals(entry: &Entry, negated: bool, place: &str) -> Result<Principals, Wrong> {
    let at = format!("{place}.{}", entry.key);
    if let Value::Text(text) = &entry.node.value {
        return match text.as_str() {
            "*" => Ok(Principals { negated, named: vec![Named::Everyone] }),
            other => Err(invalid("AWS", other, &at, entry.node.start)),
        };
    }
    let kinds = entry.node.entries().ok_or_else(|| Wrong::syntax(&at, entry.node.start))?;
    let mut named = Vec::new();
    for kind in kinds {
        for (node, text) in kind.node.items().iter().zip(texts(kind, &at)?) {
            let one = match kind.key.as_str() {
                "AWS" => Named::aws(&text),
                "Service" => (!text.contains('*')).then(|| Named::Service(text.clone())),
                "Federated" => Some(Named::Federated(text.clone())),
                // Object storage's own; nothing here has it.
                "CanonicalUser" => None,
                _ => return Err(Wrong::syntax(format!("{at}.{}", kind.key), kind.start)),
            };
            let label = if kind.key == "Service" { "SERVICE" } else { kind.key.as_str() };
            named.push(one.ok_or_else(|| invalid(label, &text, &at, node.start))?);
        }
    }
    Ok(Principals { negated, named })
}

fn invalid(kind: &str, text: &str, place: &str, at: usize) -> Wrong {
    Wrong::new(format!("Invalid principal in policy: \"{kind}\":\"{text}\""), place, at)
}

fn compile_conditions(
    entry: &Entry,
    variables: bool,
    place: &str,
) -> Result<Vec<Condition>, Wrong> {
    let place = format!("{place}.Condition");
    let operators = entry.node.entries().ok_or_else(|| Wrong::syntax(&place, entry.node.start))?;
    let mut conditions = Vec::new();
    for operator in operators {
        let place = format!("{place}.{}", operator.key);
        let keys =
            operator.node.entries().ok_or_else(|| Wrong::syntax(&place, operator.node.start))?;
        let Some(parsed) = Operator::parse(&operator.key) else {
            if keys.is_empty() {
                continue;
            }
            return Err(Wrong::syntax(place, operator.start));
        };
        for key in keys {
            let place = format!("{place}.{}", key.key);
            let value = |node: &Node| {
                node.scalar().ok_or_else(|| Wrong::syntax(place.as_str(), node.start))
            };
            let values: Vec<String> =
                key.node.items().iter().map(value).collect::<Result<_, _>>()?;
            if !crate::condition::are_values(parsed, &values) {
                return Err(Wrong::legacy(place, key.node.start));
            }
            conditions.push(Condition::new(parsed, &key.key, &values, variables));
        }
    }
    Ok(conditions)
}
