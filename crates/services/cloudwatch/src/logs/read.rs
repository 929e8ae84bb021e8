//! GetLogEvents: pages of one stream, forwards and backwards.

use shapes_logs as shapes;
use wire::Context;

use super::error::Error;
use super::store::{Bound, LogEvent, LogStore, Position};
use super::token::{self, Direction};
use super::{Logs, scope};

/// Most events of a page.
const PAGE_EVENTS: usize = 10_000;
/// Most bytes of a page's messages.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// What a page shows.
struct Asked {
    direction: Direction,
    beside: Option<Position>,
    /// The first millisecond.
    start: i64,
    /// The millisecond behind the last.
    end: i64,
    limit: usize,
}

impl Logs {
    /// Shows a page of a stream's events, the oldest first. The only sign of the end is the token
    /// that was sent coming back.
    pub(super) async fn get_log_events(
        &self,
        context: Context,
        input: shapes::GetLogEventsRequest,
    ) -> Result<shapes::GetLogEventsResponse, Error> {
        if input.unmask == Some(true) {
            return Err(Error::NotBuilt { operation: "GetLogEvents", what: "unmask" });
        }
        let scope = scope(&context);
        let (name, identifier) = (input.log_group_name, input.log_group_identifier);
        let (_, group) = self.named(&scope, name.as_deref(), identifier.as_deref())?;
        let given = input.next_token.as_deref().map(|given| {
            token::read(given).ok_or_else(|| Error::invalid("The specified nextToken is invalid."))
        });
        let given = given.transpose()?;
        let from_head = input.start_from_head.unwrap_or(false);
        let direction = given.map_or(
            if from_head { Direction::Forward } else { Direction::Backward },
            |(direction, _)| direction,
        );
        let asked = Asked {
            direction,
            beside: given.map(|(_, position)| position),
            start: input.start_time.unwrap_or(0).max(group.oldest_shown(context.now)),
            end: input.end_time.unwrap_or(i64::MAX),
            limit: input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_EVENTS),
        };
        let (id, stream) = (group.id, input.log_stream_name);
        let sent = input.next_token;
        self.on_files(move |store| {
            let stream = store.stream(&id, &stream)?.ok_or(Error::NoStream)?;
            let events = page(store, stream.id, &asked)?;
            Ok(answer(events, &asked, sent))
        })
        .await
    }
}

/// The events of a page, the oldest first.
fn page(store: &LogStore, stream: u64, asked: &Asked) -> Result<Vec<LogEvent>, Error> {
    let (from, to) = match (asked.direction, asked.beside) {
        (Direction::Forward, Some(position)) if position.at >= asked.start => {
            (Bound::Beside(position), Bound::At(asked.end))
        }
        (Direction::Backward, Some(position)) if position.at < asked.end => {
            (Bound::At(asked.start), Bound::Beside(position))
        }
        _ => (Bound::At(asked.start), Bound::At(asked.end)),
    };
    let walk = match asked.direction {
        Direction::Forward => store.forwards(stream, from, to),
        Direction::Backward => store.backwards(stream, from, to),
    };
    let (mut events, mut bytes) = (Vec::new(), 0);
    for event in walk.take(asked.limit) {
        let event = event?;
        bytes += event.message.len();
        if bytes > PAGE_BYTES && !events.is_empty() {
            break;
        }
        events.push(event);
    }
    if asked.direction == Direction::Backward {
        events.reverse();
    }
    Ok(events)
}

fn answer(
    events: Vec<LogEvent>,
    asked: &Asked,
    sent: Option<String>,
) -> shapes::GetLogEventsResponse {
    let here = asked.beside.unwrap_or(Position { at: asked.start, sequence: 0 });
    let first = events.first().map_or(here, |event| event.position);
    let last = events.last().map_or(here, |event| event.position);
    let mut forward = token::write(Direction::Forward, last);
    let mut backward = token::write(Direction::Backward, first);
    if let (Some(sent), true) = (sent, events.is_empty()) {
        // Letter by letter what was sent, in its older form too.
        match asked.direction {
            Direction::Forward => forward = sent,
            Direction::Backward => backward = sent,
        }
    }
    let shown = events.into_iter().map(|event| shapes::OutputLogEvent {
        ingestion_time: Some(event.ingested_at),
        message: Some(event.message),
        timestamp: Some(event.position.at),
    });
    shapes::GetLogEventsResponse {
        events: Some(shown.collect()),
        next_backward_token: Some(backward),
        next_forward_token: Some(forward),
    }
}
