//! From an event to deliveries: which rules it matches, and what their targets get.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{Revision, Row, Tx, View};
use parking_lot::Mutex;
use serde_json::Value;
use shapes_events as shapes;
use terms::Timestamp;

use crate::input::{Input, Path, Surroundings, Template};
use crate::model::{DEFAULT_BUS, Delivery, Event, Moment, Rule, whole_seconds};
use crate::pattern::{Fields, Pattern};
use crate::tables::{Cursor, DeliveryKey, RuleKey, Tables};

/// Most patterns that are kept compiled; beyond, all are compiled anew.
const PATTERNS_MAX: usize = 4_096;
/// Most deliveries that may wait at once; beyond, events are refused or wait themselves.
pub const DELIVERIES_MAX: usize = 50_000;

/// Matches events with rules. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Router {
    tables: Tables,
    patterns: Arc<Mutex<HashMap<String, Option<Arc<Pattern>>>>>,
    order: Arc<AtomicU64>,
}

/// An event in the forms that rules and targets ask for.
pub(crate) struct Routed {
    event: Event,
    value: Value,
    fields: Fields,
    /// Its place among all events.
    order: u64,
}

impl Routed {
    /// The event itself.
    pub(crate) fn into_event(self) -> Event {
        self.event
    }
}

impl Router {
    pub(crate) fn new(tables: Tables) -> Self {
        Self { tables, patterns: Arc::default(), order: Arc::default() }
    }

    /// The event with its place: later ones stand behind it, across restarts too, as long as the
    /// clock goes on.
    pub(crate) fn prepare(&self, event: Event, now: Timestamp) -> Routed {
        /// Events that get places of their own within a millisecond.
        const PER_MS: u64 = 1 << 20;
        let least = u64::try_from(now.millis()).unwrap_or(0) * PER_MS;
        let before = self.order.fetch_max(least, Ordering::Relaxed);
        let order = match before < least {
            true => least,
            false => self.order.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let value = event.value();
        let fields = Fields::of(&value);
        Routed { event, value, fields, order }
    }

    /// Whether a rule of the default bus may take what happened, by its source and its type alone.
    pub(crate) fn may_take(&self, view: &impl View, moment: &Moment) -> bool {
        let bus = (moment.scope.clone(), DEFAULT_BUS.to_owned());
        let mut rules = view.prefix(&self.tables.rules, &bus);
        rules.any(|(_, rule)| {
            let pattern = rule.pattern.as_ref().filter(|_| takes_events(&rule));
            pattern.and_then(|text| self.pattern(text)).is_some_and(|pattern| {
                let may_be = |path: &str, value: &str| {
                    pattern.literals(path).is_none_or(|wanted| wanted.contains(&value))
                };
                may_be("source", moment.source) && may_be("detail-type", moment.detail_type)
            })
        })
    }

    /// Queues the event for the targets of the rules of `bus` that it matches. Gives how many
    /// deliveries that are. Rules that were made after `revision` do not see it, if it is given.
    pub(crate) fn route(
        &self,
        tx: &mut Tx<'_>,
        bus: &str,
        routed: &Routed,
        revision: Option<Revision>,
    ) -> usize {
        let on_bus = (routed.event.scope(), bus.to_owned());
        let sees = |rule: &Row<Rule>| {
            revision.is_none_or(|revision| rule.sees_after(rule.version()) < revision)
                && takes_events(rule)
                && self.matches(rule, &routed.fields)
        };
        let rules = tx.prefix(&self.tables.rules, &on_bus).filter(|(_, rule)| sees(rule));
        let matching: Vec<(RuleKey, Arc<Rule>)> =
            rules.map(|(key, rule)| (key, Arc::clone(rule.value()))).collect();
        matching.iter().map(|(key, rule)| self.queue(tx, key, rule, routed)).sum()
    }

    /// Queues the event for all targets of a rule.
    pub(crate) fn queue(
        &self,
        tx: &mut Tx<'_>,
        key: &RuleKey,
        rule: &Rule,
        routed: &Routed,
    ) -> usize {
        let now = tx.now();
        let rule_arn = key.0.rule_arn(&key.1, &key.2);
        let ingestion_time = whole_seconds(now);
        let around = Surroundings {
            rule_arn: &rule_arn,
            rule_name: &key.2,
            ingestion_time: &ingestion_time,
        };
        for (id, target) in &rule.targets {
            let input = input_of(target).unwrap_or(Input::Event);
            let delivery = Delivery {
                event_id: routed.event.id.clone(),
                payload: input.of(&routed.event, &routed.value, &around),
                target: target.clone(),
                rule_arn: rule_arn.clone(),
                rule_name: key.2.clone(),
                time: routed.event.time,
                created_at: now,
                next_at: now,
                attempts: 0,
            };
            let key: DeliveryKey = ((key.clone(), id.clone()), routed.order, tx.next_id());
            tx.put(&self.tables.deliveries, key, delivery);
        }
        rule.targets.len()
    }

    /// Notes that the events of all commits up to `revision` are queued.
    pub(crate) fn advance(&self, tx: &mut Tx<'_>, revision: u64) {
        tx.put(&self.tables.cursor, 0, Cursor { revision });
    }

    fn matches(&self, rule: &Rule, fields: &Fields) -> bool {
        let pattern = rule.pattern.as_ref().and_then(|text| self.pattern(text));
        pattern.is_some_and(|pattern| pattern.matches(fields))
    }

    /// The pattern of a text; none if it is none.
    fn pattern(&self, text: &String) -> Option<Arc<Pattern>> {
        let known = self.patterns.lock().get(text).cloned();
        known.unwrap_or_else(|| {
            let pattern = Pattern::parse(text).ok().map(Arc::new);
            let mut patterns = self.patterns.lock();
            if patterns.len() >= PATTERNS_MAX {
                patterns.clear();
            }
            patterns.insert(text.clone(), pattern.clone());
            pattern
        })
    }
}

fn takes_events(rule: &Rule) -> bool {
    rule.pattern.is_some() && rule.is_enabled() && !rule.targets.is_empty()
}

/// What a target's members say of its input; the text of the refusal if they make no sense.
pub(crate) fn input_of(target: &shapes::Target) -> Result<Input, String> {
    let id = &target.id;
    let given =
        [target.input.is_some(), target.input_path.is_some(), target.input_transformer.is_some()];
    if given.into_iter().filter(|is_given| *is_given).count() > 1 {
        return Err(format!(
            "Only one of Input, InputPath, or InputTransformer must be provided for target {id}."
        ));
    }
    let path = |text: &str| {
        Path::parse(text).map_err(|_| format!("InputPath {text} for target {id} is not valid."))
    };
    if let Some(text) = &target.input {
        return Ok(Input::Constant(text.clone()));
    }
    if let Some(text) = &target.input_path {
        return path(text).map(Input::Part);
    }
    let Some(transformer) = &target.input_transformer else { return Ok(Input::Event) };
    let mut paths = BTreeMap::new();
    for (name, text) in transformer.input_paths_map.iter().flatten() {
        paths.insert(name.clone(), path(text)?);
    }
    Template::parse(&transformer.input_template, paths).map(Input::Template).map_err(|error| {
        let placeholder = error.placeholder;
        format!("InputTemplate for target {id} contains invalid placeholder {placeholder}.")
    })
}
