//! Targets of rules.

use shapes_events as shapes;
use wire::Context;
use wire::document::Document;

use super::{no_rule, page};
use crate::Inner;
use crate::error::Error;
use crate::model::Rule;
use crate::routing::input_of;

/// Most targets of a rule (EventBridge quotas).
const TARGETS_MAX: usize = 5;

/// Why a target was not taken.
type Refusal = (String, String);

impl Inner {
    /// Sets targets of a rule, each by its id. What is wrong with one does not stop the others.
    pub(super) async fn put_targets(
        &self,
        context: Context,
        input: shapes::PutTargetsRequest,
    ) -> Result<shapes::PutTargetsResponse, Error> {
        for target in &input.targets {
            input_of(target).map_err(Error::Invalid)?;
            if !is_arn(&target.arn) {
                let text = format!(
                    "Parameter {} is not valid. Reason: Provided Arn is not in correct format.",
                    target.arn
                );
                return Err(Error::invalid(text));
            }
        }
        for target in input.targets.iter().filter(|target| target.arn.contains(":ecs:")) {
            if target.role_arn.is_none() {
                let text = format!("RoleArn is required for target {}.", target.arn);
                return Err(Error::invalid(text));
            }
            if target.ecs_parameters.is_none() {
                return Err(Error::invalid(format!(
                    "Parameter(s) EcsParameters must be specified for target: {}.",
                    target.id
                )));
            }
        }
        let checked: Vec<(&shapes::Target, Result<(), Refusal>)> =
            input.targets.iter().map(|target| (target, self.check(target))).collect();
        let done = self.ledger.transact("put targets", |tx| {
            let bus = input.event_bus_name.as_deref();
            let key = self.rule_key(tx, &context, bus, &input.rule)?;
            let row = tx.get(&self.tables.rules, &key).ok_or_else(|| no_rule(&key))?;
            let mut rule = Rule::clone(&row);
            let was_idle = rule.targets.is_empty();
            for (target, _) in checked.iter().filter(|(_, refusal)| refusal.is_ok()) {
                rule.targets.insert(target.id.clone(), Document::new((*target).clone()));
            }
            if rule.targets.len() > TARGETS_MAX {
                return Err(Error::TooMany);
            }
            if was_idle {
                // A schedule without targets does not go on: its next time may be long past.
                rule.plan(tx.now());
            }
            tx.put(&self.tables.rules, key, rule);
            Ok(())
        });
        done.await?;
        let failed = checked.into_iter().filter_map(|(target, refusal)| {
            let (code, message) = refusal.err()?;
            Some(shapes::PutTargetsResultEntry {
                error_code: Some(code),
                error_message: Some(message),
                target_id: Some(target.id.clone()),
            })
        });
        let failed: Vec<_> = failed.collect();
        Ok(shapes::PutTargetsResponse {
            failed_entry_count: i32::try_from(failed.len()).ok(),
            failed_entries: Some(failed),
        })
    }

    /// What is wrong with a target, as its taker sees it.
    fn check(&self, target: &shapes::Target) -> Result<(), Refusal> {
        match self.targets.of(&target.arn) {
            Some(taker) => taker.check(target),
            None => {
                let kind = target.arn.split(':').nth(2).unwrap_or_default();
                let text = format!(
                    "Longshore does not deliver events to targets of '{kind}' yet; see \
                     docs/support.md"
                );
                Err(("NotImplementedException".to_owned(), text))
            }
        }
    }

    /// Takes targets from a rule. Deliveries that are on their way go on.
    pub(super) async fn remove_targets(
        &self,
        context: Context,
        input: shapes::RemoveTargetsRequest,
    ) -> Result<shapes::RemoveTargetsResponse, Error> {
        let done = self.ledger.transact("remove targets", |tx| {
            let bus = input.event_bus_name.as_deref();
            let key = self.rule_key(tx, &context, bus, &input.rule)?;
            let row = tx.get(&self.tables.rules, &key).ok_or_else(|| no_rule(&key))?;
            let mut rule = Rule::clone(&row);
            let before = rule.targets.len();
            rule.targets.retain(|id, _| !input.ids.contains(id));
            if rule.targets.len() < before {
                tx.put(&self.tables.rules, key, rule);
            }
            Ok::<_, Error>(())
        });
        done.await?;
        Ok(shapes::RemoveTargetsResponse {
            failed_entries: Some(Vec::new()),
            failed_entry_count: Some(0),
        })
    }

    /// Lists the targets of a rule.
    pub(super) async fn list_targets_by_rule(
        &self,
        context: Context,
        input: shapes::ListTargetsByRuleRequest,
    ) -> Result<shapes::ListTargetsByRuleResponse, Error> {
        let page = page("ListTargetsByRule", input.limit, input.next_token.as_deref())?;
        let snapshot = self.ledger.snapshot();
        let bus = input.event_bus_name.as_deref();
        let key = self.rule_key(&snapshot, &context, bus, &input.rule)?;
        let rule = snapshot.get(&self.tables.rules, &key).ok_or_else(|| no_rule(&key))?;
        let (targets, next_token) = page.take(rule.targets.iter(), |(id, _)| (*id).clone());
        let targets = Some(targets.into_iter().map(|(_, target)| (**target).clone()).collect());
        Ok(shapes::ListTargetsByRuleResponse { next_token, targets })
    }
}

/// An ARN, or a URL.
fn is_arn(text: &str) -> bool {
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    is_url || (text.starts_with("arn:") && text.splitn(6, ':').count() == 6)
}
