//! Patterns of fields between blanks: `[ip, user, ..., status = 4* || status = 5*, bytes]`.

use std::collections::BTreeMap;

use super::Invalid;
use super::cursor::Cursor;
use super::value::{Operator, Value};

/// What ends a bare word.
const ENDS: &str = ",&|()]";

/// What each field is called and must be.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// Those from the first field on.
    head: Vec<Slot>,
    /// Those up to the last field, after `...`; none without it.
    tail: Option<Vec<Slot>>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    name: String,
    /// One of these, of each all.
    tests: Vec<Vec<(Operator, Value)>>,
}

impl Slots {
    /// Reads a pattern in brackets.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let inner =
            text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(Invalid)?;
        let mut cursor = Cursor::new(inner);
        let mut slots = Self { head: Vec::new(), tail: None };
        loop {
            if cursor.eat("...") {
                if slots.tail.replace(Vec::new()).is_some() {
                    return Err(Invalid);
                }
            } else {
                let slot = slot(&mut cursor)?;
                slots.tail.as_mut().unwrap_or(&mut slots.head).push(slot);
            }
            if cursor.is_at_end() {
                return Ok(slots);
            }
            if !cursor.eat(",") {
                return Err(Invalid);
            }
        }
    }

    pub(super) fn regexes(&self) -> usize {
        let slots = self.head.iter().chain(self.tail.iter().flatten());
        let values = slots.flat_map(|slot| slot.tests.iter().flatten());
        values.filter(|(_, value)| value.is_regex()).count()
    }

    /// Each slot with its field; none if their numbers do not agree.
    fn assigned<'a>(&'a self, message: &'a str) -> Option<Vec<(&'a Slot, &'a str)>> {
        let fields = split(message);
        let (head, tail) = (&self.head, self.tail.as_deref());
        let after = tail.unwrap_or_default();
        // A last bare name takes the rest (the user guide's `[w1=ERROR, w2]`).
        let takes_rest = tail.is_none()
            && head.last().is_some_and(|slot| slot.tests.is_empty() && !slot.name.is_empty());
        let agrees = match fields.len().checked_sub(head.len() + after.len()) {
            Some(0) => true,
            Some(_) => tail.is_some() || takes_rest,
            None => false,
        };
        if !agrees {
            return None;
        }
        let of_head = head.iter().zip(fields.iter().copied());
        let of_tail = after.iter().zip(fields[fields.len() - after.len()..].iter().copied());
        Some(of_head.chain(of_tail).collect())
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let assigned = self.assigned(message);
        assigned.is_some_and(|all| all.iter().all(|(slot, field)| slot.holds(field)))
    }

    pub(super) fn extracted(&self, message: &str) -> BTreeMap<String, String> {
        let assigned = self.assigned(message).unwrap_or_default();
        let named = assigned.into_iter().filter(|(slot, _)| !slot.name.is_empty());
        named.map(|(slot, field)| (format!("${}", slot.name), field.to_owned())).collect()
    }
}

impl Slot {
    fn holds(&self, field: &str) -> bool {
        let compares =
            |(operator, value): &(Operator, Value)| value.compares_text(*operator, field);
        self.tests.is_empty() || self.tests.iter().any(|all| all.iter().all(compares))
    }
}

fn slot(cursor: &mut Cursor<'_>) -> Result<Slot, Invalid> {
    let mut slot = Slot { name: name(cursor), tests: Vec::new() };
    let Some(operator) = cursor.operator() else { return Ok(slot) };
    if slot.name.is_empty() {
        return Err(Invalid);
    }
    slot.tests.push(vec![test(cursor, operator)?]);
    loop {
        let is_alternative = cursor.eat("||");
        if !is_alternative && !cursor.eat("&&") {
            return Ok(slot);
        }
        // The name is said again.
        if name(cursor) != slot.name {
            return Err(Invalid);
        }
        let operator = cursor.operator().ok_or(Invalid)?;
        let one = test(cursor, operator)?;
        match slot.tests.last_mut() {
            Some(all) if !is_alternative => all.push(one),
            _ => slot.tests.push(vec![one]),
        }
    }
}

fn test(cursor: &mut Cursor<'_>, operator: Operator) -> Result<(Operator, Value), Invalid> {
    let value = cursor.value(ENDS)?;
    if value.suits(operator) { Ok((operator, value)) } else { Err(Invalid) }
}

fn name(cursor: &mut Cursor<'_>) -> String {
    cursor.blanks();
    cursor.while_is(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '*')).to_owned()
}

/// The fields of a line: `[…]` and `"…"` are one each, without what is around them.
pub(super) fn split(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let closed = match rest.chars().next() {
            Some('[') => rest[1..].split_once(']'),
            Some('"') => rest[1..].split_once('"'),
            _ => None,
        };
        let (field, after) = match closed {
            // What follows at once belongs to it no more.
            Some(closed) => closed,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}
