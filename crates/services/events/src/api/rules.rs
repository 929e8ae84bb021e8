//! Rules.

use shapes_events as shapes;
use shapes_events::RuleState;
use wire::{Context, Unit};

use super::{bus_name, no_rule, page, scope};
use crate::Inner;
use crate::error::Error;
use crate::model::{DEFAULT_BUS, Rule};
use crate::pattern::{Fields, Pattern};
use crate::schedule::Schedule;
use crate::tables::RuleKey;

/// Most rules of a bus (EventBridge quotas).
const RULES_MAX: usize = 300;
/// What TestEventPattern asks of an event (recorded; `resources` is documented, not enforced).
const EVENT_MEMBERS: [&str; 6] = ["id", "account", "source", "time", "region", "detail-type"];

impl Inner {
    /// Makes a rule, or replaces all of it but its targets and its tags.
    pub(super) async fn put_rule(
        &self,
        context: Context,
        input: shapes::PutRuleRequest,
    ) -> Result<shapes::PutRuleResponse, Error> {
        let pattern = input.event_pattern.as_deref().filter(|text| !text.is_empty());
        let schedule = input.schedule_expression.as_deref().filter(|text| !text.is_empty());
        if pattern.is_none() && schedule.is_none() {
            return Err(Error::invalid(
                "Parameter(s) EventPattern or ScheduleExpression must be specified.",
            ));
        }
        let bus = bus_name(input.event_bus_name.as_deref());
        if schedule.is_some() && bus != DEFAULT_BUS {
            return Err(Error::invalid(
                "ScheduleExpression is supported only on the default event bus.",
            ));
        }
        pattern.map(Pattern::parse).transpose()?;
        let checked = schedule.map(Schedule::parse).transpose();
        checked.map_err(|error| Error::invalid(error.to_string()))?;
        let done = self.ledger.transact("put rule", |tx| {
            let key = self.rule_key(tx, &context, Some(&bus), &input.name)?;
            let (now, before) = (tx.now(), tx.get(&self.tables.rules, &key));
            if before.is_none() {
                let on_bus = (key.0.clone(), key.1.clone());
                if tx.facts().prefix(&self.tables.rules, &on_bus).count() >= RULES_MAX {
                    return Err(Error::TooMany);
                }
            }
            let tags = input.tags.iter().flatten();
            let tags = tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect();
            let (targets, tags) = match &before {
                Some(before) => (before.targets.clone(), before.tags.clone()),
                None => (Default::default(), tags),
            };
            let base = tx.base_revision();
            let made_after = before.as_ref().map_or(base, |row| row.sees_after(row.version()));
            let mut rule = Rule {
                pattern: pattern.map(str::to_owned),
                schedule: schedule.map(str::to_owned),
                state: input.state.unwrap_or(RuleState::Enabled).as_str().to_owned(),
                description: input.description.clone(),
                role: input.role_arn.clone(),
                targets,
                tags,
                made_after: Some(made_after),
                made_at: now,
                next_at: None,
            };
            rule.plan(now);
            let arn = key.0.rule_arn(&key.1, &key.2);
            tx.put(&self.tables.rules, key, rule);
            Ok(arn)
        });
        Ok(shapes::PutRuleResponse { rule_arn: Some(done.await?.value) })
    }

    /// Deletes a rule; one that is not there is no error.
    pub(super) async fn delete_rule(
        &self,
        context: Context,
        input: shapes::DeleteRuleRequest,
    ) -> Result<Unit, Error> {
        let done = self.ledger.transact("delete rule", |tx| {
            let bus = input.event_bus_name.as_deref();
            let key = self.rule_key(tx, &context, bus, &input.name)?;
            if let Some(rule) = tx.get(&self.tables.rules, &key) {
                if !rule.targets.is_empty() {
                    return Err(Error::HasTargets);
                }
                tx.delete(&self.tables.rules, &key);
            }
            Ok(Unit)
        });
        Ok(done.await?.value)
    }

    /// Shows one rule.
    pub(super) async fn describe_rule(
        &self,
        context: Context,
        input: shapes::DescribeRuleRequest,
    ) -> Result<shapes::DescribeRuleResponse, Error> {
        let snapshot = self.ledger.snapshot();
        let bus = input.event_bus_name.as_deref();
        let key = self.rule_key(&snapshot, &context, bus, &input.name)?;
        let rule = snapshot.get(&self.tables.rules, &key).ok_or_else(|| no_rule(&key))?;
        let shown = show(&key, &rule);
        Ok(shapes::DescribeRuleResponse {
            arn: shown.arn,
            created_by: Some(key.0.account.to_string()),
            description: shown.description,
            event_bus_name: shown.event_bus_name,
            event_pattern: shown.event_pattern,
            name: shown.name,
            role_arn: shown.role_arn,
            schedule_expression: shown.schedule_expression,
            state: shown.state,
            ..Default::default()
        })
    }

    /// Lists the rules of a bus.
    pub(super) async fn list_rules(
        &self,
        context: Context,
        input: shapes::ListRulesRequest,
    ) -> Result<shapes::ListRulesResponse, Error> {
        let page = page("ListRules", input.limit, input.next_token.as_deref())?;
        let (scope, bus) = (scope(&context), bus_name(input.event_bus_name.as_deref()));
        let snapshot = self.ledger.snapshot();
        self.bus_is_there(&snapshot, &scope, &bus)?;
        let prefix = input.name_prefix.unwrap_or_default();
        let rows = snapshot.prefix(&self.tables.rules, &(scope, bus));
        let fitting = rows.filter(|(key, _)| key.2.starts_with(&prefix));
        let (rows, next_token) = page.take(fitting, |(key, _)| key.2.clone());
        let rules = Some(rows.iter().map(|(key, row)| show(key, row)).collect());
        Ok(shapes::ListRulesResponse { rules, next_token })
    }

    /// Lists the rules that send to a target.
    pub(super) async fn list_rule_names_by_target(
        &self,
        context: Context,
        input: shapes::ListRuleNamesByTargetRequest,
    ) -> Result<shapes::ListRuleNamesByTargetResponse, Error> {
        let page = page("ListRuleNamesByTarget", input.limit, input.next_token.as_deref())?;
        let (scope, bus) = (scope(&context), bus_name(input.event_bus_name.as_deref()));
        let snapshot = self.ledger.snapshot();
        self.bus_is_there(&snapshot, &scope, &bus)?;
        let rows = snapshot.index(&self.tables.rules_by_target, &(scope, bus, input.target_arn));
        let names = rows.map(|(key, _)| key.2);
        let (names, next_token) = page.take(names, Clone::clone);
        Ok(shapes::ListRuleNamesByTargetResponse { next_token, rule_names: Some(names) })
    }

    /// Lets a rule take events and run.
    pub(super) async fn enable_rule(
        &self,
        context: Context,
        input: shapes::EnableRuleRequest,
    ) -> Result<Unit, Error> {
        let bus = input.event_bus_name.as_deref();
        self.set_state(&context, bus, &input.name, RuleState::Enabled).await
    }

    /// Lets a rule rest.
    pub(super) async fn disable_rule(
        &self,
        context: Context,
        input: shapes::DisableRuleRequest,
    ) -> Result<Unit, Error> {
        let bus = input.event_bus_name.as_deref();
        self.set_state(&context, bus, &input.name, RuleState::Disabled).await
    }

    async fn set_state(
        &self,
        context: &Context,
        bus: Option<&str>,
        name: &str,
        state: RuleState,
    ) -> Result<Unit, Error> {
        let done = self.ledger.transact("set rule state", |tx| {
            let key = self.rule_key(tx, context, bus, name)?;
            let row = tx.get(&self.tables.rules, &key).ok_or_else(|| no_rule(&key))?;
            let mut rule = Rule::clone(&row);
            if rule.is_enabled() != (state != RuleState::Disabled) {
                rule.state = state.as_str().to_owned();
                rule.plan(tx.now());
                tx.put(&self.tables.rules, key, rule);
            }
            Ok(Unit)
        });
        Ok(done.await?.value)
    }

    /// Tells whether a pattern takes an event.
    pub(super) async fn test_event_pattern(
        &self,
        _: Context,
        input: shapes::TestEventPatternRequest,
    ) -> Result<shapes::TestEventPatternResponse, Error> {
        let pattern = Pattern::parse(&input.event_pattern)?;
        let event: Option<serde_json::Value> = serde_json::from_str(&input.event).ok();
        let event =
            event.filter(|event| EVENT_MEMBERS.iter().all(|member| event.get(member).is_some()));
        let event = event.ok_or_else(|| Error::invalid("Parameter Event is not valid."))?;
        let result = Some(pattern.matches(&Fields::of(&event)));
        Ok(shapes::TestEventPatternResponse { result })
    }
}

fn show((scope, bus, name): &RuleKey, rule: &Rule) -> shapes::Rule {
    shapes::Rule {
        arn: Some(scope.rule_arn(bus, name)),
        description: rule.description.clone(),
        event_bus_name: Some(bus.clone()),
        event_pattern: rule.pattern.clone(),
        name: Some(name.clone()),
        role_arn: rule.role.clone(),
        schedule_expression: rule.schedule.clone(),
        state: Some(rule.shown_state()),
        ..Default::default()
    }
}
