//! Writing what services say.

use ledger::Tx;
use terms::Uuid;

use crate::model::{Course, ServiceEvent, ServiceEventKind};
use crate::tables::{ServiceKey, Tables};

/// Events of a service that are kept.
const MAX_EVENTS: u64 = 100;

/// Writes what a service says, and counts it in its `course`; the oldest goes for it.
pub(crate) fn say(
    tx: &mut Tx<'_>,
    tables: Tables,
    key: &ServiceKey,
    course: &mut Course,
    lines: impl IntoIterator<Item = (ServiceEventKind, String)>,
) {
    let events = tables.services.events;
    for (kind, message) in lines {
        course.last_event += 1;
        let number = course.last_event;
        let id = Uuid::from_random(tx.next_id());
        let event = ServiceEvent { id, created_at: tx.now(), message, kind };
        tx.put(&events, (key.clone(), number), event);
        if let Some(old) = number.checked_sub(MAX_EVENTS) {
            tx.delete(&events, &(key.clone(), old));
        }
    }
}
