//! The operations that are built, each with its handler.

mod buses;
mod put_events;
mod rules;
mod tags;
mod targets;

use std::sync::Arc;

use ledger::View;
use shapes_events as shapes;
use shapes_events::operations as ops;
use wire::{Context, Service, ServiceError};

use crate::Inner;
use crate::error::Error;
use crate::model::DEFAULT_BUS;
use crate::paging::Page;
use crate::tables::{RuleKey, Scope};

/// Most items of a page, and how many there are if the request does not say.
const PAGE_ITEMS: usize = 100;

/// Adds handlers: the operation, then the method of [`Inner`] that answers it.
macro_rules! operations {
    ($inner:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let inner = Arc::clone($inner);
            move |context, input| {
                let inner = Arc::clone(&inner);
                async move { inner.$handler(context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(inner: &Arc<Inner>) -> Service {
    operations! { inner, Service::new(&shapes::SERVICE),
        CreateEventBus => create_event_bus;
        DeleteEventBus => delete_event_bus;
        DeleteRule => delete_rule;
        DescribeEventBus => describe_event_bus;
        DescribeRule => describe_rule;
        DisableRule => disable_rule;
        EnableRule => enable_rule;
        ListEventBuses => list_event_buses;
        ListRuleNamesByTarget => list_rule_names_by_target;
        ListRules => list_rules;
        ListTagsForResource => list_tags_for_resource;
        ListTargetsByRule => list_targets_by_rule;
        PutEvents => put_events;
        PutRule => put_rule;
        PutTargets => put_targets;
        RemoveTargets => remove_targets;
        TagResource => tag_resource;
        TestEventPattern => test_event_pattern;
        UntagResource => untag_resource;
    }
}

fn scope(context: &Context) -> Scope {
    let caller = &context.caller;
    Scope { account: caller.account.clone(), region: caller.region.clone() }
}

/// The name of the bus that a name or an ARN means; the default one if there is neither.
fn bus_name(name: Option<&str>) -> String {
    let name = name.unwrap_or(DEFAULT_BUS);
    let short = name.split_once(":event-bus/").map_or(name, |(_, short)| short);
    short.to_owned()
}

fn page(listing: &'static str, limit: Option<i32>, token: Option<&str>) -> Result<Page, Error> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_ITEMS);
    let page = Page::open(listing, limit, token);
    page.map_err(|_| Error::invalid("The nextToken is not valid."))
}

impl Inner {
    /// Refuses buses that nobody made.
    fn bus_is_there(&self, view: &impl View, scope: &Scope, bus: &str) -> Result<(), Error> {
        let key = (scope.clone(), bus.to_owned());
        if bus == DEFAULT_BUS || view.get(&self.tables.buses, &key).is_some() {
            return Ok(());
        }
        Err(Error::NoBus(bus.to_owned()))
    }

    /// The key of a rule on a bus that is there.
    fn rule_key(
        &self,
        view: &impl View,
        context: &Context,
        bus: Option<&str>,
        rule: &str,
    ) -> Result<RuleKey, Error> {
        let (scope, bus) = (scope(context), bus_name(bus));
        self.bus_is_there(view, &scope, &bus)?;
        Ok((scope, bus, rule.to_owned()))
    }
}

fn no_rule(key: &RuleKey) -> Error {
    Error::NoRule { rule: key.2.clone(), bus: key.1.clone() }
}
