//! Rules.

use std::collections::{BTreeMap, BTreeSet};

use ledger::View;
use shapes_elbv2 as shapes;
use wire::Context;
use wire::document::Document;

use super::check_actions::actions;
use super::check_conditions::conditions;
use super::paging::page;
use super::{limits, names, scope, show};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind, Limit};
use crate::model::{Rule, Transport};
use crate::tables::{ListenerKey, RuleKey};

impl Inner {
    /// Makes a rule.
    pub(super) async fn create_rule(
        &self,
        context: Context,
        input: shapes::CreateRuleInput,
    ) -> Result<shapes::CreateRuleOutput, Error> {
        let operation = "CreateRule";
        let listener = arn::listener(&scope(&context), &input.listener_arn)?;
        if arn::is_network(&listener.1) {
            return Err(Error::Protocol(
                "Rules are not supported for network load balancers".to_owned(),
            ));
        }
        no_transforms(input.transforms.as_deref(), operation)?;
        let priority = u32::try_from(input.priority).unwrap_or_default();
        let conditions = documents(conditions(&input.conditions)?);
        let actions = actions(&input.actions, operation)?;
        let tags = names::tags(input.tags.as_deref().unwrap_or_default())?;
        let done = self.ledger.transact("create rule", |tx| {
            let row = tx.get(&self.tables.listeners, &listener);
            let row = row.ok_or(Error::NotFound(Kind::Listener))?;
            let is_secure = row.secure.is_some();
            let of = (listener.0.clone(), listener.1.clone());
            if tx.prefix(&self.tables.rules, &listener).any(|(_, row)| row.priority == priority) {
                return Err(Error::PriorityInUse(priority));
            }
            let max = limits::RULES;
            if tx.prefix(&self.tables.rules, &of).count() >= max {
                let text = format!("At most {max} rules are allowed per load balancer");
                return Err(Error::too_many(Limit::Rules, text));
            }
            self.check_groups(tx, &of, &actions, (is_secure, Transport::Tcp))?;
            let id = names::id(tx.next_id());
            let key = (listener.0.clone(), listener.1.clone(), listener.2.clone(), id);
            let row = Rule {
                priority,
                conditions: conditions.clone(),
                actions: actions.clone(),
                tags: tags.clone(),
            };
            let shown = show::rule(&key, &row);
            tx.put(&self.tables.rules, key, row);
            Ok(shown)
        });
        let made = done.await?.value;
        Ok(shapes::CreateRuleOutput { rules: Some(vec![made]) })
    }

    /// Lists rules: the lowest priority first, the default one last.
    pub(super) async fn describe_rules(
        &self,
        context: Context,
        input: shapes::DescribeRulesInput,
    ) -> Result<shapes::DescribeRulesOutput, Error> {
        let (scope, snapshot) = (scope(&context), self.ledger.snapshot());
        let arns = input.rule_arns.unwrap_or_default();
        let found = match (input.listener_arn.as_deref(), arns.is_empty()) {
            (Some(of), true) => {
                let key = arn::listener(&scope, of)?;
                self.rules_of(&snapshot, &key)?
            }
            (None, false) => {
                let show = |text: &String| self.shown_rule(&snapshot, &arn::rule(&scope, text)?);
                arns.iter().map(show).collect::<Result<Vec<_>, Error>>()?
            }
            _ => {
                return Err(Error::invalid(
                    "You must specify either listener rule ARNs or a listener ARN",
                ));
            }
        };
        let name = |shown: &shapes::Rule| shown.rule_arn.clone().unwrap_or_default();
        let (shown, next_marker) = page(found, name, input.page_size, input.marker.as_deref())?;
        Ok(shapes::DescribeRulesOutput { next_marker, rules: Some(shown) })
    }

    fn rules_of(&self, view: &impl View, key: &ListenerKey) -> Result<Vec<shapes::Rule>, Error> {
        let listener = view.get(&self.tables.listeners, key);
        let listener = listener.ok_or(Error::NotFound(Kind::Listener))?;
        let mut rows: Vec<_> = view.prefix(&self.tables.rules, key).collect();
        rows.sort_by_key(|(_, row)| row.priority);
        let mut shown: Vec<_> = rows.iter().map(|(key, row)| show::rule(key, row)).collect();
        shown.push(show::default_rule(key, &listener));
        Ok(shown)
    }

    fn shown_rule(&self, view: &impl View, key: &RuleKey) -> Result<shapes::Rule, Error> {
        if let Some(row) = view.get(&self.tables.rules, key) {
            return Ok(show::rule(key, &row));
        }
        let of = listener_of(key);
        let listener = view.get(&self.tables.listeners, &of);
        let listener = listener.filter(|listener| listener.default_rule == key.3);
        let listener = listener.ok_or(Error::NotFound(Kind::Rule))?;
        Ok(show::default_rule(&of, &listener))
    }

    /// Why a rule that is not in the table cannot be changed.
    fn not_a_rule(&self, view: &impl View, key: &RuleKey, what: &str) -> Error {
        let listener = view.get(&self.tables.listeners, &listener_of(key));
        match listener.is_some_and(|listener| listener.default_rule == key.3) {
            true => Error::NotPermitted(format!(
                "Default rule '{}' cannot be {what}",
                arn::of_rule(key)
            )),
            false => Error::NotFound(Kind::Rule),
        }
    }

    /// Replaces the conditions or the actions of a rule.
    pub(super) async fn modify_rule(
        &self,
        context: Context,
        input: shapes::ModifyRuleInput,
    ) -> Result<shapes::ModifyRuleOutput, Error> {
        let operation = "ModifyRule";
        let key = arn::rule(&scope(&context), &input.rule_arn)?;
        no_transforms(input.transforms.as_deref(), operation)?;
        let wanted = (
            input.conditions.as_deref().filter(|all| !all.is_empty()),
            input.actions.as_deref().filter(|all| !all.is_empty()),
        );
        if wanted == (None, None) && input.reset_transforms != Some(true) {
            return Err(Error::invalid("Either conditions or actions must be specified"));
        }
        let conditions = wanted.0.map(conditions).transpose()?.map(documents);
        let actions = wanted.1.map(|wanted| actions(wanted, operation)).transpose()?;
        let done = self.ledger.transact("modify rule", |tx| {
            let row = tx.get(&self.tables.rules, &key);
            let row = row.ok_or_else(|| self.not_a_rule(tx, &key, "modified"))?;
            let mut changed = Rule::clone(&row);
            if let Some(conditions) = &conditions {
                changed.conditions = conditions.clone();
            }
            if let Some(actions) = &actions {
                let of = tx.get(&self.tables.listeners, &listener_of(&key));
                let is_secure = of.is_some_and(|row| row.secure.is_some());
                let of = (key.0.clone(), key.1.clone());
                self.check_groups(tx, &of, actions, (is_secure, Transport::Tcp))?;
                changed.actions = actions.clone();
            }
            let shown = show::rule(&key, &changed);
            tx.put(&self.tables.rules, key.clone(), changed);
            Ok::<_, Error>(shown)
        });
        let shown = done.await?.value;
        Ok(shapes::ModifyRuleOutput { rules: Some(vec![shown]) })
    }

    /// Deletes a rule.
    pub(super) async fn delete_rule(
        &self,
        context: Context,
        input: shapes::DeleteRuleInput,
    ) -> Result<shapes::DeleteRuleOutput, Error> {
        let key = arn::rule(&scope(&context), &input.rule_arn)?;
        let done = self.ledger.transact("delete rule", |tx| {
            let row = tx.get(&self.tables.rules, &key);
            row.ok_or_else(|| self.not_a_rule(tx, &key, "deleted"))?;
            tx.delete(&self.tables.rules, &key);
            Ok::<_, Error>(())
        });
        done.await?;
        Ok(shapes::DeleteRuleOutput {})
    }

    /// Sets priorities, all or none: what counts is how they are afterwards, so two may swap.
    pub(super) async fn set_rule_priorities(
        &self,
        context: Context,
        input: shapes::SetRulePrioritiesInput,
    ) -> Result<shapes::SetRulePrioritiesOutput, Error> {
        let scope = scope(&context);
        let mut wanted: BTreeMap<RuleKey, u32> = BTreeMap::new();
        let mut seen: BTreeSet<(ListenerKey, u32)> = BTreeSet::new();
        for pair in &input.rule_priorities {
            let text = pair.rule_arn.as_deref().unwrap_or_default();
            let key = arn::rule(&scope, text)?;
            let priority = pair.priority.and_then(|one| u32::try_from(one).ok());
            let priority =
                priority.ok_or_else(|| Error::invalid("A priority must be specified"))?;
            if !seen.insert((listener_of(&key), priority)) {
                let text = format!("Priority '{priority}' was provided multiple times");
                return Err(Error::invalid(text));
            }
            wanted.insert(key, priority);
        }
        let done = self.ledger.transact("set rule priorities", |tx| {
            let mut shown = Vec::new();
            for (key, priority) in &wanted {
                let is_taken = {
                    let listener = listener_of(key);
                    let mut others = tx.prefix(&self.tables.rules, &listener);
                    others.any(|(other, row)| {
                        row.priority == *priority && !wanted.contains_key(&other)
                    })
                };
                if is_taken {
                    return Err(Error::PriorityInUse(*priority));
                }
                let row = tx.get(&self.tables.rules, key);
                let row = row.ok_or_else(|| self.not_a_rule(tx, key, "moved"))?;
                let changed = Rule { priority: *priority, ..Rule::clone(&row) };
                shown.push(show::rule(key, &changed));
                tx.put(&self.tables.rules, key.clone(), changed);
            }
            Ok(shown)
        });
        Ok(shapes::SetRulePrioritiesOutput { rules: Some(done.await?.value) })
    }
}

/// The listener of a rule.
pub(super) fn listener_of(key: &RuleKey) -> ListenerKey {
    (key.0.clone(), key.1.clone(), key.2.clone())
}

fn documents(conditions: Vec<shapes::RuleCondition>) -> Vec<Document<shapes::RuleCondition>> {
    conditions.into_iter().map(Document::new).collect()
}

fn no_transforms(
    transforms: Option<&[shapes::RuleTransform]>,
    operation: &'static str,
) -> Result<(), Error> {
    match transforms.is_some_and(|transforms| !transforms.is_empty()) {
        true => Err(Error::not_built(operation, "Transforms")),
        false => Ok(()),
    }
}
