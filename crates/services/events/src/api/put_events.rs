//! PutEvents.

use serde_json::Value;
use shapes_events as shapes;
use terms::Uuid;
use wire::Context;

use super::{bus_name, scope};
use crate::Inner;
use crate::error::Error;
use crate::model::{Event, NewEvent};
use crate::routing::{DELIVERIES_MAX, Routed};
use crate::tables::Scope;

/// All entries together, in bytes (user guide, as of January 2026).
const ENTRIES_BYTES_MAX: usize = 1 << 20;
/// What an entry's time counts for, in bytes.
const TIME_BYTES: usize = 14;

/// Why an entry was not taken: code and text.
type Refusal = (&'static str, String);

impl Inner {
    /// Takes events in; each is told of on its own. Events for buses that are not there are taken
    /// and go nowhere (observed).
    pub(super) async fn put_events(
        &self,
        context: Context,
        input: shapes::PutEventsRequest,
    ) -> Result<shapes::PutEventsResponse, Error> {
        if input.entries.iter().map(size).sum::<usize>() > ENTRIES_BYTES_MAX {
            return Err(Error::invalid(
                "Total size of the entries in the request is over the limit.",
            ));
        }
        let scope = scope(&context);
        let is_full = self.ledger.snapshot().len(&self.tables.deliveries) >= DELIVERIES_MAX;
        let read = |entry: &shapes::PutEventsRequestEntry| {
            if is_full {
                return Err((
                    "ThrottlingException",
                    "Too many events wait for delivery.".to_owned(),
                ));
            }
            let event = self.read(&scope, &context, entry)?;
            let bus = bus_name(entry.event_bus_name.as_deref());
            Ok((bus, self.router.prepare(event, context.now)))
        };
        let entries: Vec<Result<(String, Routed), Refusal>> =
            input.entries.iter().map(read).collect();
        let done = self.ledger.transact("put events", |tx| {
            for (bus, routed) in entries.iter().flatten() {
                self.router.route(tx, bus, routed, None);
            }
            Ok::<_, Error>(())
        });
        done.await?;
        let told: Vec<_> = entries.into_iter().map(|entry| self.tell(entry)).collect();
        let failed = told.iter().filter(|entry| entry.error_code.is_some()).count();
        Ok(shapes::PutEventsResponse {
            entries: Some(told),
            failed_entry_count: i32::try_from(failed).ok(),
        })
    }

    fn read(
        &self,
        scope: &Scope,
        context: &Context,
        entry: &shapes::PutEventsRequestEntry,
    ) -> Result<Event, Refusal> {
        let required = |name: &str, value: &Option<String>| {
            let value = value.clone().filter(|value| !value.is_empty());
            value.ok_or_else(|| {
                let text = format!(
                    "Parameter {name} is not valid. Reason: {name} is a required argument."
                );
                ("InvalidArgument", text)
            })
        };
        let source = required("Source", &entry.source)?;
        let detail_type = required("DetailType", &entry.detail_type)?;
        let detail = required("Detail", &entry.detail)?;
        let is_object =
            serde_json::from_str::<Value>(&detail).is_ok_and(|detail| detail.is_object());
        if !is_object {
            return Err(("MalformedDetail", "Detail is malformed.".to_owned()));
        }
        if source.starts_with("aws.") {
            let text = "Not authorized for the source.".to_owned();
            return Err(("NotAuthorizedForSourceException", text));
        }
        Ok(Event::new(NewEvent {
            id: Uuid::from_random(self.ids.next()).to_string(),
            detail_type,
            source,
            account: scope.account.clone(),
            region: scope.region.clone(),
            time: entry.time.unwrap_or(context.now),
            resources: entry.resources.clone().unwrap_or_default(),
            detail,
        }))
    }

    fn tell(&self, entry: Result<(String, Routed), Refusal>) -> shapes::PutEventsResultEntry {
        match entry {
            Ok((_, routed)) => {
                let event = routed.into_event();
                let event_id = Some(event.id.clone());
                self.journal.note(event);
                shapes::PutEventsResultEntry { event_id, ..Default::default() }
            }
            Err((code, message)) => shapes::PutEventsResultEntry {
                error_code: Some(code.to_owned()),
                error_message: Some(message),
                ..Default::default()
            },
        }
    }
}

/// How much of the limit an entry takes (user guide).
fn size(entry: &shapes::PutEventsRequestEntry) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let time = if entry.time.is_some() { TIME_BYTES } else { 0 };
    let resources: usize = entry.resources.iter().flatten().map(String::len).sum();
    time + text(&entry.source) + text(&entry.detail_type) + text(&entry.detail) + resources
}
