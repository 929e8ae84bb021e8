//! Tags of buses and rules.

use std::collections::BTreeMap;

use shapes_events as shapes;
use wire::Context;

use super::{no_rule, scope};
use crate::Inner;
use crate::error::Error;
use crate::model::{Bus, DEFAULT_BUS, Rule};
use crate::tables::{BusKey, RuleKey, Scope};

/// Most tags of one resource.
const TAGS_MAX: usize = 50;

/// What has tags.
enum Tagged {
    Bus(BusKey),
    Rule(RuleKey),
}

impl Inner {
    /// Adds and replaces tags.
    pub(super) async fn tag_resource(
        &self,
        context: Context,
        input: shapes::TagResourceRequest,
    ) -> Result<shapes::TagResourceResponse, Error> {
        self.change_tags(&context, &input.resource_arn, |tags| {
            tags.extend(input.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())));
        })
        .await?;
        Ok(shapes::TagResourceResponse {})
    }

    /// Takes tags away.
    pub(super) async fn untag_resource(
        &self,
        context: Context,
        input: shapes::UntagResourceRequest,
    ) -> Result<shapes::UntagResourceResponse, Error> {
        self.change_tags(&context, &input.resource_arn, |tags| {
            tags.retain(|key, _| !input.tag_keys.contains(key));
        })
        .await?;
        Ok(shapes::UntagResourceResponse {})
    }

    /// Shows tags.
    pub(super) async fn list_tags_for_resource(
        &self,
        context: Context,
        input: shapes::ListTagsForResourceRequest,
    ) -> Result<shapes::ListTagsForResourceResponse, Error> {
        let snapshot = self.ledger.snapshot();
        let tags = match tagged(&scope(&context), &input.resource_arn)? {
            Tagged::Bus(key) => {
                self.bus_is_there(&snapshot, &key.0, &key.1)?;
                snapshot.get(&self.tables.buses, &key).map(|bus| bus.tags.clone())
            }
            Tagged::Rule(key) => {
                let rule = snapshot.get(&self.tables.rules, &key).ok_or_else(|| no_rule(&key))?;
                Some(rule.tags.clone())
            }
        };
        let tags = tags.unwrap_or_default().into_iter();
        let tags = tags.map(|(key, value)| shapes::Tag { key, value }).collect();
        Ok(shapes::ListTagsForResourceResponse { tags: Some(tags) })
    }

    async fn change_tags(
        &self,
        context: &Context,
        arn: &str,
        change: impl Fn(&mut BTreeMap<String, String>),
    ) -> Result<(), Error> {
        let tagged = tagged(&scope(context), arn)?;
        let change = |tags: &mut BTreeMap<String, String>| {
            change(tags);
            if tags.len() > TAGS_MAX { Err(Error::TooMany) } else { Ok(()) }
        };
        let done = self.ledger.transact("change tags of events", |tx| {
            match &tagged {
                Tagged::Bus(key) => {
                    self.bus_is_there(tx, &key.0, &key.1)?;
                    let row = tx.get(&self.tables.buses, key);
                    let mut bus = row.map_or_else(Bus::default, |row| Bus::clone(&row));
                    change(&mut bus.tags)?;
                    tx.put(&self.tables.buses, key.clone(), bus);
                }
                Tagged::Rule(key) => {
                    let row = tx.get(&self.tables.rules, key).ok_or_else(|| no_rule(key))?;
                    let mut rule = Rule::clone(&row);
                    change(&mut rule.tags)?;
                    tx.put(&self.tables.rules, key.clone(), rule);
                }
            }
            Ok::<_, Error>(())
        });
        Ok(done.await.map(drop)?)
    }
}

/// What an ARN of the caller's own is of.
fn tagged(scope: &Scope, arn: &str) -> Result<Tagged, Error> {
    let Scope { account, region } = scope;
    let own = format!("arn:aws:events:{region}:{account}:");
    let invalid = || {
        Error::invalid(format!(
            "Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."
        ))
    };
    let resource = arn.strip_prefix(&own).ok_or_else(invalid)?;
    if let Some(bus) = resource.strip_prefix("event-bus/") {
        return Ok(Tagged::Bus((scope.clone(), bus.to_owned())));
    }
    let rule = resource.strip_prefix("rule/").ok_or_else(invalid)?;
    let (bus, rule) = rule.split_once('/').unwrap_or((DEFAULT_BUS, rule));
    Ok(Tagged::Rule((scope.clone(), bus.to_owned(), rule.to_owned())))
}
