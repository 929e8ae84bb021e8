//! FilterLogEvents: the events of many streams, in one order.

use std::collections::BTreeMap;

use shapes_logs as shapes;
use wire::Context;

use super::error::Error;
use super::pattern::Pattern;
use super::read::PAGE_BYTES;
use super::store::{Bound, LogEvent, LogStore, Merged, Position};
use super::{Logs, scope, token};

/// Most events of a page.
const PAGE_EVENTS: usize = 10_000;
/// Most events that one call looks at; a page may end before anything was found.
const LOOKED_AT_MAX: usize = 200_000;
/// Most streams that one call looks at: the first by name.
const STREAMS_MAX: usize = 10_000;

/// What a page shows.
struct Asked {
    streams: Option<Vec<String>>,
    prefix: String,
    pattern: Pattern,
    start: i64,
    /// Events later than this are left out.
    end: i64,
    after: Option<Position>,
    limit: usize,
}

impl Logs {
    /// Shows events of a group's streams in the order of their times. No token means the end.
    pub(super) async fn filter_log_events(
        &self,
        context: Context,
        input: shapes::FilterLogEventsRequest,
    ) -> Result<shapes::FilterLogEventsResponse, Error> {
        let not_built = |what| Err(Error::NotBuilt { operation: "FilterLogEvents", what });
        if input.unmask == Some(true) {
            return not_built("unmask");
        }
        let scope = scope(&context);
        let (name, identifier) = (input.log_group_name, input.log_group_identifier);
        let (_, group) = self.named(&scope, name.as_deref(), identifier.as_deref())?;
        if input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some() {
            return Err(Error::invalid(
                "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.",
            ));
        }
        let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default());
        let pattern = pattern.map_err(|_| Error::invalid("Invalid filter pattern"))?;
        let after = input.next_token.as_deref().map(|given| {
            token::position(given)
                .ok_or_else(|| Error::invalid("The specified nextToken is invalid."))
        });
        let asked = Asked {
            streams: input.log_stream_names,
            prefix: input.log_stream_name_prefix.unwrap_or_default(),
            pattern,
            start: input.start_time.unwrap_or(0).max(group.oldest_shown(context.now)),
            end: input.end_time.unwrap_or(i64::MAX - 1),
            after: after.transpose()?,
            limit: input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_EVENTS),
        };
        let id = group.id;
        let found = self.on_files(move |store| page(store, &id, &asked)).await?;
        let (events, next_token) = found;
        Ok(shapes::FilterLogEventsResponse {
            events: Some(events),
            next_token,
            searched_log_streams: Some(Vec::new()),
        })
    }
}

type Page = (Vec<shapes::FilteredLogEvent>, Option<String>);

fn page(store: &LogStore, group: &[u8; 16], asked: &Asked) -> Result<Page, Error> {
    let mut walks = Walks::open(store, group, asked)?;
    let (mut events, mut bytes, mut seen) = (Vec::new(), 0, 0);
    let mut last = None;
    while let Some((stream, event)) = walks.next()? {
        let is_wanted = asked.pattern.matches(&event.message);
        if is_wanted && !events.is_empty() && bytes + event.message.len() > PAGE_BYTES {
            return Ok((events, last.map(|position| token::digits(position, 0))));
        }
        seen += 1;
        last = Some(event.position);
        if is_wanted {
            bytes += event.message.len();
            events.push(shapes::FilteredLogEvent {
                event_id: Some(token::digits(event.position, 0)),
                ingestion_time: Some(event.ingested_at),
                log_stream_name: Some(walks.names[stream].clone()),
                message: Some(event.message),
                timestamp: Some(event.position.at),
            });
        }
        if events.len() == asked.limit || seen == LOOKED_AT_MAX {
            let more = walks.peek();
            let next = last.filter(|_| more).map(|position| token::digits(position, 0));
            return Ok((events, next));
        }
    }
    Ok((events, None))
}

/// The streams' events, merged by their positions; sequences are the store's own, so no two
/// events have one.
struct Walks {
    names: Vec<String>,
    walks: Vec<Merged>,
    heads: BTreeMap<Position, (usize, LogEvent)>,
}

impl Walks {
    fn open(store: &LogStore, group: &[u8; 16], asked: &Asked) -> Result<Self, Error> {
        let streams = match &asked.streams {
            Some(names) => {
                let mut streams = Vec::new();
                for name in names {
                    let stream = store.stream(group, name)?.ok_or(Error::NoStream)?;
                    streams.push((name.clone(), stream));
                }
                streams
            }
            None => store.streams(group, &asked.prefix, None, STREAMS_MAX)?,
        };
        let (from, to) = match asked.after {
            Some(after) if after.at >= asked.start => {
                (Bound::Beside(after), Bound::At(asked.end.saturating_add(1)))
            }
            _ => (Bound::At(asked.start), Bound::At(asked.end.saturating_add(1))),
        };
        let mut walks = Self { names: Vec::new(), walks: Vec::new(), heads: BTreeMap::new() };
        for (name, stream) in streams {
            if stream.last_at.is_none_or(|last| last < asked.start) {
                continue;
            }
            walks.names.push(name);
            walks.walks.push(store.forwards(stream.id, from, to));
            walks.step(walks.walks.len() - 1)?;
        }
        Ok(walks)
    }

    fn step(&mut self, stream: usize) -> Result<(), Error> {
        if let Some(event) = self.walks[stream].next().transpose()? {
            self.heads.insert(event.position, (stream, event));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(usize, LogEvent)>, Error> {
        let Some((_, (stream, event))) = self.heads.pop_first() else { return Ok(None) };
        self.step(stream)?;
        Ok(Some((stream, event)))
    }

    fn peek(&self) -> bool {
        !self.heads.is_empty()
    }
}
