//! A policy document, compiled.

use crate::condition::Condition;
use crate::json::{self, Entry, Node, Value};
use crate::malformed::{Malformed, Wrong};
use crate::statement::{Statement, find};
use crate::{Effect, Position, rules};

/// What a document is attached to: which elements it must and must not have follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of a user, group or role; a boundary; a session's.
    Identity,
    /// Who may assume a role.
    Trust,
    /// Of a resource that others may be let at, such as a secret.
    Resource,
}

/// A compiled document.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) statements: Vec<Statement>,
    /// For each statement the first of those right before it that name the same actions: long
    /// documents say the same of many resources.
    same_actions: Vec<u32>,
    /// For each service that statements name, which of them; in the order of names.
    by_service: Vec<(Box<str>, Vec<u32>)>,
    /// Statements about all services.
    of_all: Vec<u32>,
}

impl Policy {
    /// Reads and compiles a document.
    ///
    /// # Errors
    /// What AWS's `MalformedPolicyDocument` says, with the place.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Malformed> {
        compile(text, kind).map_err(|wrong| wrong.in_text(text))
    }

    /// A document that says nothing: it allows and denies nothing.
    pub fn empty() -> Self {
        Self {
            statements: Vec::new(),
            same_actions: Vec::new(),
            by_service: Vec::new(),
            of_all: Vec::new(),
        }
    }

    /// How many statements it has.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether it has no statement.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Whether it lets everybody at its resource: a statement allows all principals, or all but some,
    /// and no condition says who or from where (Secrets Manager API reference, `BlockPublicPolicy`).
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(|statement| {
            let everyone = statement.principals.as_ref().is_some_and(|one| one.mean_everyone());
            let is_narrow = statement.conditions.iter().any(Condition::narrows);
            statement.effect == Effect::Allow && everyone && !is_narrow
        })
    }

    /// The statement's `Sid`, if it has one.
    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }

    /// What the statement does.
    pub fn effect(&self, statement: usize) -> Option<Effect> {
        Some(self.statements.get(statement)?.effect)
    }

    /// Where the statement begins and ends in the text.
    pub fn span(&self, statement: usize) -> Option<(Position, Position)> {
        let statement = self.statements.get(statement)?;
        Some((statement.start, statement.end))
    }

    /// The condition keys that its statements ask for, in lower case, in order, each once.
    pub fn keys(&self) -> Vec<String> {
        let keys = self.statements.iter().flat_map(Statement::keys).map(str::to_owned);
        let mut keys: Vec<String> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The statements whose actions are of this service, in lower case, or of all.
    pub(crate) fn of_service<'a>(
        &'a self,
        service: &str,
    ) -> impl Iterator<Item = (usize, &'a Statement)> {
        let found = self.by_service.binary_search_by(|(name, _)| (**name).cmp(service));
        let own: &[u32] = found.map_or(&[], |at| &self.by_service[at].1);
        own.iter()
            .chain(&self.of_all)
            .map(|number| *number as usize)
            .map(|number| (number, &self.statements[number]))
    }

    /// The same number for statements that follow each other and name the same actions.
    pub(crate) fn actions(&self, statement: usize) -> Option<u32> {
        self.same_actions.get(statement).copied()
    }

    fn of(statements: Vec<Statement>) -> Self {
        let (mut by_service, mut of_all): (Vec<(Box<str>, Vec<u32>)>, _) = (Vec::new(), Vec::new());
        let mut same_actions: Vec<u32> = Vec::with_capacity(statements.len());
        for (number, statement) in (0..).zip(&statements) {
            let before = same_actions.last().copied();
            let is_same = |first: &u32| statements[*first as usize].actions == statement.actions;
            same_actions.push(before.filter(is_same).unwrap_or(number));
        }
        for (number, statement) in (0..).zip(&statements) {
            let patterns = &statement.actions.patterns;
            if statement.actions.negated || patterns.iter().any(|p| p.service.is_none()) {
                of_all.push(number);
                continue;
            }
            for service in patterns.iter().filter_map(|pattern| pattern.service.as_ref()) {
                match by_service.binary_search_by(|(name, _)| name.cmp(service)) {
                    Ok(at) if by_service[at].1.last() == Some(&number) => {}
                    Ok(at) => by_service[at].1.push(number),
                    Err(at) => by_service.insert(at, (service.clone(), vec![number])),
                }
            }
        }
        Self { statements, same_actions, by_service, of_all }
    }
}

fn compile(text: &str, kind: Kind) -> Result<Policy, Wrong> {
    let root = root(text, kind)?;
    let entries = root.entries().ok_or_else(|| Wrong::syntax("", root.start))?;
    for entry in entries {
        let is_fit = match entry.key.as_str() {
            "Version" | "Statement" => true,
            "Id" => matches!(entry.node.value, Value::Text(_)),
            _ => false,
        };
        if !is_fit {
            return Err(Wrong::syntax(entry.key.as_str(), entry.start));
        }
    }
    let version = version(entries)?;
    if kind == Kind::Identity && version != Version::Current {
        let text = "Policy document must be version 2012-10-17 or greater.";
        return Err(Wrong::new(text, "Version", root.start));
    }
    let list = find(entries, "Statement").ok_or_else(|| Wrong::syntax("", root.start))?;
    let nodes = list.node.items();
    if nodes.is_empty() {
        return Err(Wrong::syntax("Statement", list.start));
    }
    let mut statements = Vec::with_capacity(nodes.len());
    for (number, node) in (1..).zip(nodes) {
        let place = format!("Statement[{number}]");
        let variables = version == Version::Current;
        statements.push(Statement::compile(node, text, kind, variables, &place)?);
    }
    rules::check(nodes, &statements, kind)?;
    Ok(Policy::of(statements))
}

fn root(text: &str, kind: Kind) -> Result<Node, Wrong> {
    json::parse(text).map_err(|broken| match kind {
        Kind::Trust if !broken.is_duplicate => {
            Wrong::new("This policy contains invalid Json", "", broken.at)
        }
        _ => Wrong::syntax("", broken.at),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// 2008-10-17: no variables.
    Old,
    /// 2012-10-17.
    Current,
}

fn version(entries: &[Entry]) -> Result<Version, Wrong> {
    let Some(entry) = find(entries, "Version") else { return Ok(Version::Old) };
    match &entry.node.value {
        Value::Text(text) if text == "2012-10-17" => Ok(Version::Current),
        Value::Text(text) if text == "2008-10-17" => Ok(Version::Old),
        _ => Err(Wrong::syntax("Version", entry.node.start)),
    }
}
