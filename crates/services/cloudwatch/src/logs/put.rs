//! PutLogEvents: what is taken, what is dropped, what is refused (API reference; texts as
//! recorded and observed).

use std::sync::Arc;

use shapes_logs as shapes;
use terms::Timestamp;
use wire::Context;

use super::error::Error;
use super::store::Position;
use super::{DAY_MS, LogGroup, Logs, scope, token};

/// Most bytes of a batch, each event counted with [`EVENT_BYTES`] more.
const BATCH_BYTES_MAX: usize = 1_048_576;
/// What each event counts for besides its message.
const EVENT_BYTES: usize = 26;
/// Events from further ahead are dropped.
const AHEAD_MAX_MS: i64 = 2 * 3_600_000;
/// Events from further back are dropped.
const BACK_MAX_MS: i64 = 14 * DAY_MS;
/// The times of a batch lie within this.
const SPAN_MAX_MS: i64 = DAY_MS;

/// Which events of a batch are kept: those from `from` up to `to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kept {
    from: usize,
    to: usize,
    too_old: usize,
    expired: usize,
}

impl Logs {
    /// Takes events in. They are on the disk when this answers.
    pub(super) async fn put_log_events(
        &self,
        context: Context,
        input: shapes::PutLogEventsRequest,
    ) -> Result<shapes::PutLogEventsResponse, Error> {
        if input.entity.is_some() {
            return Err(Error::NotBuilt { operation: "PutLogEvents", what: "entity" });
        }
        let group = self.group(&scope(&context), &input.log_group_name)?;
        let kept = judge(&input.log_events, &group, context.now)?;
        let (id, now) = (group.id, context.now.millis());
        let (name, events) = (input.log_stream_name, input.log_events);
        let count = events.len();
        let live = Arc::clone(&self.live);
        let is_there = self.on_files(move |store| {
            let kept = &events[kept.from..kept.to];
            if kept.is_empty() {
                return Ok(store.stream(&id, &name)?.is_some());
            }
            let kept: Vec<(i64, &str)> =
                kept.iter().map(|event| (event.timestamp, event.message.as_str())).collect();
            let is_there = store.append(&id, &name, &kept, now)?;
            if is_there {
                live.offer(&id, &name, &kept, now);
            }
            Ok(is_there)
        });
        if !is_there.await? {
            return Err(Error::NoStream);
        }
        let index = |index: usize| i32::try_from(index).ok();
        let rejected = shapes::RejectedLogEventsInfo {
            expired_log_event_end_index: index(kept.expired).filter(|end| *end > 0),
            too_new_log_event_start_index: index(kept.to).filter(|_| kept.to < count),
            too_old_log_event_end_index: index(kept.too_old).filter(|end| *end > 0),
        };
        let has_rejected = rejected != shapes::RejectedLogEventsInfo::default();
        // Older agents send it back; nobody reads it.
        let next = token::digits(Position { at: now, sequence: count as u64 }, 0);
        Ok(shapes::PutLogEventsResponse {
            next_sequence_token: Some(next),
            rejected_entity_info: None,
            rejected_log_events_info: has_rejected.then_some(rejected),
        })
    }
}

fn judge(
    events: &[shapes::InputLogEvent],
    group: &LogGroup,
    now: Timestamp,
) -> Result<Kept, Error> {
    let size = |event: &shapes::InputLogEvent| event.message.len() + EVENT_BYTES;
    let bytes: usize = events.iter().map(size).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}"
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(Error::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let before = |bound: i64| events.partition_point(|event| event.timestamp < bound);
    let now_ms = now.millis();
    let too_old = before(now_ms - BACK_MAX_MS);
    let expired = before(group.oldest_shown(now));
    let to = before(now_ms + AHEAD_MAX_MS + 1);
    let from = too_old.max(expired).min(to);
    if let (Some(first), Some(last)) = (events[from..to].first(), events[from..to].last())
        && last.timestamp - first.timestamp > SPAN_MAX_MS
    {
        return Err(Error::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 \
             hours.",
        ));
    }
    Ok(Kept { from, to, too_old, expired })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_323_045_678;

    fn group(retention_days: Option<i32>) -> LogGroup {
        LogGroup {
            id: [0; 16],
            created_at: Timestamp::from_millis(0),
            retention_days,
            is_protected: false,
            tags: Default::default(),
        }
    }

    fn judged(times: &[i64], days: Option<i32>) -> Result<Kept, String> {
        let event =
            |at: &i64| shapes::InputLogEvent { message: "m".to_owned(), timestamp: NOW + at };
        let events: Vec<_> = times.iter().map(event).collect();
        judge(&events, &group(days), Timestamp::from_millis(NOW)).map_err(|error| error.to_string())
    }

    #[test]
    fn events_out_of_time_are_dropped() {
        let day = DAY_MS;
        let kept = judged(&[-15 * day, -2 * day, -day, 0, 3 * 3_600_000], Some(1)).unwrap();
        assert_eq!(kept, Kept { from: 2, to: 4, too_old: 1, expired: 2 });
        let all = judged(&[-1, 0, AHEAD_MAX_MS], None).unwrap();
        assert_eq!(all, Kept { from: 0, to: 3, too_old: 0, expired: 0 });
    }

    #[test]
    fn batches_are_refused_whole() {
        let order = "Log events in a single PutLogEvents request must be in chronological order.";
        assert_eq!(judged(&[0, -1], None), Err(order.to_owned()));
        let span = judged(&[-2 * DAY_MS, 0], None).unwrap_err();
        assert!(span.contains("cannot span more than 24 hours"), "{span}");
        // Age is judged first.
        assert!(judged(&[-15 * DAY_MS, 0], None).is_ok());
        let big = [shapes::InputLogEvent { message: "x".repeat(BATCH_BYTES_MAX), timestamp: NOW }];
        let error = judge(&big, &group(None), Timestamp::from_millis(NOW)).unwrap_err();
        assert_eq!(error.to_string(), "Upload too large: 1048602 bytes exceeds limit of 1048576");
    }
}
