//! Tags of load balancers, target groups, listeners and rules.

use std::collections::BTreeMap;

use ledger::{Tx, View};
use shapes_elbv2 as shapes;
use vpc::Scope;
use wire::Context;

use super::rules::listener_of;
use super::{names, scope};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind};
use crate::model::{Listener, LoadBalancer, Rule, TargetGroup};

/// Most resources that one request names.
const RESOURCES_MAX: usize = 20;

type Tags = BTreeMap<String, String>;

impl Inner {
    /// Adds and replaces tags.
    pub(super) async fn add_tags(
        &self,
        context: Context,
        input: shapes::AddTagsInput,
    ) -> Result<shapes::AddTagsOutput, Error> {
        let new = names::tags(&input.tags)?;
        self.change_tags(&context, &input.resource_arns, |tags| {
            tags.extend(new.clone());
            names::check_count(tags)
        })
        .await?;
        Ok(shapes::AddTagsOutput {})
    }

    /// Takes tags away.
    pub(super) async fn remove_tags(
        &self,
        context: Context,
        input: shapes::RemoveTagsInput,
    ) -> Result<shapes::RemoveTagsOutput, Error> {
        self.change_tags(&context, &input.resource_arns, |tags| {
            tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        })
        .await?;
        Ok(shapes::RemoveTagsOutput {})
    }

    /// Shows tags.
    pub(super) async fn describe_tags(
        &self,
        context: Context,
        input: shapes::DescribeTagsInput,
    ) -> Result<shapes::DescribeTagsOutput, Error> {
        check_count(&input.resource_arns)?;
        let (scope, snapshot) = (scope(&context), self.ledger.snapshot());
        let show = |text: &String| {
            let tags = self.tags_of(&snapshot, &scope, text)?.into_iter();
            let tags = tags.map(|(key, value)| shapes::Tag { key, value: Some(value) }).collect();
            Ok(shapes::TagDescription { resource_arn: Some(text.clone()), tags: Some(tags) })
        };
        let shown = input.resource_arns.iter().map(show).collect::<Result<_, Error>>()?;
        Ok(shapes::DescribeTagsOutput { tag_descriptions: Some(shown) })
    }

    fn tags_of(&self, view: &impl View, scope: &Scope, text: &str) -> Result<Tags, Error> {
        let kind = kind(text)?;
        let missing = || Error::NotFound(kind);
        let tables = &self.tables;
        Ok(match kind {
            Kind::LoadBalancer => {
                let key = arn::load_balancer(scope, text)?;
                view.get(&tables.load_balancers, &key).ok_or_else(missing)?.tags.clone()
            }
            Kind::TargetGroup => {
                let key = arn::group(scope, text)?;
                view.get(&tables.groups, &key).ok_or_else(missing)?.tags.clone()
            }
            Kind::Listener => {
                let key = arn::listener(scope, text)?;
                view.get(&tables.listeners, &key).ok_or_else(missing)?.tags.clone()
            }
            Kind::Rule => {
                let key = arn::rule(scope, text)?;
                if let Some(row) = view.get(&tables.rules, &key) {
                    return Ok(row.tags.clone());
                }
                let listener = view.get(&tables.listeners, &listener_of(&key));
                let listener = listener.filter(|row| row.default_rule == key.3);
                listener.ok_or_else(missing)?.default_rule_tags.clone()
            }
        })
    }

    async fn change_tags(
        &self,
        context: &Context,
        arns: &[String],
        change: impl Fn(&mut Tags) -> Result<(), Error>,
    ) -> Result<(), Error> {
        check_count(arns)?;
        let scope = scope(context);
        let done = self.ledger.transact("change tags of load balancing", |tx| {
            for text in arns {
                let mut tags = self.tags_of(tx, &scope, text)?;
                change(&mut tags)?;
                self.put_tags(tx, &scope, text, tags)?;
            }
            Ok::<_, Error>(())
        });
        Ok(done.await.map(drop)?)
    }

    fn put_tags(
        &self,
        tx: &mut Tx<'_>,
        scope: &Scope,
        text: &str,
        tags: Tags,
    ) -> Result<(), Error> {
        let kind = kind(text)?;
        let missing = || Error::NotFound(kind);
        let tables = &self.tables;
        match kind {
            Kind::LoadBalancer => {
                let key = arn::load_balancer(scope, text)?;
                let row = tx.get(&tables.load_balancers, &key).ok_or_else(missing)?;
                let row = LoadBalancer { tags, ..LoadBalancer::clone(&row) };
                tx.put(&tables.load_balancers, key, row);
            }
            Kind::TargetGroup => {
                let key = arn::group(scope, text)?;
                let row = tx.get(&tables.groups, &key).ok_or_else(missing)?;
                tx.put(&tables.groups, key, TargetGroup { tags, ..TargetGroup::clone(&row) });
            }
            Kind::Listener => {
                let key = arn::listener(scope, text)?;
                let row = tx.get(&tables.listeners, &key).ok_or_else(missing)?;
                tx.put(&tables.listeners, key, Listener { tags, ..Listener::clone(&row) });
            }
            Kind::Rule => {
                let key = arn::rule(scope, text)?;
                if let Some(row) = tx.get(&tables.rules, &key) {
                    tx.put(&tables.rules, key, Rule { tags, ..Rule::clone(&row) });
                    return Ok(());
                }
                let key = listener_of(&key);
                let row = tx.get(&tables.listeners, &key).ok_or_else(missing)?;
                let row = Listener { default_rule_tags: tags, ..Listener::clone(&row) };
                tx.put(&tables.listeners, key, row);
            }
        }
        Ok(())
    }
}

fn kind(text: &str) -> Result<Kind, Error> {
    arn::kind(text).ok_or_else(|| Error::invalid(format!("'{text}' is not a valid ARN")))
}

fn check_count(arns: &[String]) -> Result<(), Error> {
    match arns.len() > RESOURCES_MAX {
        true => Err(Error::invalid(format!("No more than {RESOURCES_MAX} resources can be named"))),
        false => Ok(()),
    }
}
