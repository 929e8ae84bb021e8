//! Event buses.

use shapes_events as shapes;
use wire::{Context, Unit};

use super::{bus_name, page, scope};
use crate::Inner;
use crate::error::Error;
use crate::model::{Bus, DEFAULT_BUS};
use crate::tables::Scope;

/// Most buses of an account in a region (EventBridge quotas).
const BUSES_MAX: usize = 100;

impl Inner {
    /// Makes a bus.
    pub(super) async fn create_event_bus(
        &self,
        context: Context,
        input: shapes::CreateEventBusRequest,
    ) -> Result<shapes::CreateEventBusResponse, Error> {
        let members = [
            ("DeadLetterConfig", input.dead_letter_config.is_some()),
            ("EventSourceName", input.event_source_name.is_some()),
            ("KmsKeyIdentifier", input.kms_key_identifier.is_some()),
            ("LogConfig", input.log_config.is_some()),
        ];
        if let Some((what, _)) = members.into_iter().find(|(_, is_there)| *is_there) {
            return Err(Error::NotBuilt { operation: "CreateEventBus", what });
        }
        if input.name.contains('/') {
            return Err(Error::invalid("Event bus name must not contain '/'."));
        }
        let key = (scope(&context), input.name.clone());
        let done = self.ledger.transact("create event bus", |tx| {
            if input.name == DEFAULT_BUS || tx.get(&self.tables.buses, &key).is_some() {
                return Err(Error::BusExists(input.name.clone()));
            }
            if tx.facts().prefix(&self.tables.buses, &key.0).count() >= BUSES_MAX {
                return Err(Error::TooMany);
            }
            let tags = input.tags.iter().flatten();
            let tags = tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect();
            let bus = Bus { description: input.description.clone(), created_at: tx.now(), tags };
            tx.put(&self.tables.buses, key.clone(), bus);
            Ok(())
        });
        done.await?;
        Ok(shapes::CreateEventBusResponse {
            description: input.description,
            event_bus_arn: Some(key.0.bus_arn(&key.1)),
            ..Default::default()
        })
    }

    /// Deletes a bus; one that is not there is no error. Its rules must go first.
    pub(super) async fn delete_event_bus(
        &self,
        context: Context,
        input: shapes::DeleteEventBusRequest,
    ) -> Result<Unit, Error> {
        let key = (scope(&context), bus_name(Some(&input.name)));
        if key.1 == DEFAULT_BUS {
            return Err(Error::DefaultBus);
        }
        let done = self.ledger.transact("delete event bus", |tx| {
            if tx.prefix(&self.tables.rules, &key).next().is_some() {
                return Err(Error::invalid(format!(
                    "Event bus {} can't be deleted since it has rules.",
                    key.1
                )));
            }
            if tx.get(&self.tables.buses, &key).is_some() {
                tx.delete(&self.tables.buses, &key);
            }
            Ok(Unit)
        });
        Ok(done.await?.value)
    }

    /// Shows one bus.
    pub(super) async fn describe_event_bus(
        &self,
        context: Context,
        input: shapes::DescribeEventBusRequest,
    ) -> Result<shapes::DescribeEventBusResponse, Error> {
        let (scope, bus) = (scope(&context), bus_name(input.name.as_deref()));
        let snapshot = self.ledger.snapshot();
        self.bus_is_there(&snapshot, &scope, &bus)?;
        let row = snapshot.get(&self.tables.buses, &(scope.clone(), bus.clone()));
        let shown = show(&scope, &bus, row.as_deref());
        Ok(shapes::DescribeEventBusResponse {
            arn: shown.arn,
            creation_time: shown.creation_time,
            description: shown.description,
            last_modified_time: shown.last_modified_time,
            name: shown.name,
            ..Default::default()
        })
    }

    /// Lists buses, the default one among them.
    pub(super) async fn list_event_buses(
        &self,
        context: Context,
        input: shapes::ListEventBusesRequest,
    ) -> Result<shapes::ListEventBusesResponse, Error> {
        let page = page("ListEventBuses", input.limit, input.next_token.as_deref())?;
        let (scope, snapshot) = (scope(&context), self.ledger.snapshot());
        let rows = snapshot.prefix(&self.tables.buses, &scope);
        let mut buses: Vec<(String, shapes::EventBus)> = rows
            .map(|((_, name), row)| (name.clone(), show(&scope, &name, Some(&row))))
            .filter(|(name, _)| name != DEFAULT_BUS)
            .collect();
        buses.push((DEFAULT_BUS.to_owned(), show(&scope, DEFAULT_BUS, None)));
        buses.sort_by(|(left, _), (right, _)| left.cmp(right));
        let prefix = input.name_prefix.unwrap_or_default();
        let fitting = buses.into_iter().filter(|(name, _)| name.starts_with(&prefix));
        let (buses, next_token) = page.take(fitting, |(name, _)| name.clone());
        let event_buses = Some(buses.into_iter().map(|(_, bus)| bus).collect());
        Ok(shapes::ListEventBusesResponse { event_buses, next_token })
    }
}

fn show(scope: &Scope, name: &str, bus: Option<&Bus>) -> shapes::EventBus {
    let made = bus.filter(|_| name != DEFAULT_BUS).map(|bus| bus.created_at);
    shapes::EventBus {
        arn: Some(scope.bus_arn(name)),
        creation_time: made,
        description: bus.and_then(|bus| bus.description.clone()),
        last_modified_time: made,
        name: Some(name.to_owned()),
        ..Default::default()
    }
}
