//! Log streams: making, deleting, listing.

use events::paging::Page;
use shapes_logs as shapes;
use wire::{Context, Unit};

use super::error::Error;
use super::store::Stream;
use super::{Logs, group_arn, scope};
use crate::Scope;

/// Most streams of a page, and how many there are if the request does not say.
const PAGE_STREAMS: usize = 50;
/// Most streams that are sorted by their last event; of more, the first by name.
const SORTED_MAX: usize = 100_000;

impl Logs {
    /// Makes a stream.
    pub(super) async fn create_log_stream(
        &self,
        context: Context,
        input: shapes::CreateLogStreamRequest,
    ) -> Result<Unit, Error> {
        let group = self.group(&scope(&context), &input.log_group_name)?.id;
        let (name, now) = (input.log_stream_name, context.now.millis());
        let made = self.on_files(move |store| Ok(store.create(&group, &name, now)?)).await?;
        if made { Ok(Unit) } else { Err(Error::StreamExists) }
    }

    /// Deletes a stream with its events.
    pub(super) async fn delete_log_stream(
        &self,
        context: Context,
        input: shapes::DeleteLogStreamRequest,
    ) -> Result<Unit, Error> {
        let group = self.group(&scope(&context), &input.log_group_name)?.id;
        let name = input.log_stream_name;
        let was_there = self.on_files(move |store| Ok(store.delete(&group, &name)?)).await?;
        if was_there { Ok(Unit) } else { Err(Error::NoStream) }
    }

    /// Lists streams by name, or by their last event.
    pub(super) async fn describe_log_streams(
        &self,
        context: Context,
        input: shapes::DescribeLogStreamsRequest,
    ) -> Result<shapes::DescribeLogStreamsResponse, Error> {
        let scope = scope(&context);
        let (name, identifier) = (input.log_group_name, input.log_group_identifier);
        let (group, row) = self.named(&scope, name.as_deref(), identifier.as_deref())?;
        let by_time = input.order_by == Some(shapes::OrderBy::LastEventTime);
        if by_time && input.log_stream_name_prefix.is_some() {
            return Err(Error::invalid(
                "Cannot order by LastEventTime with a logStreamNamePrefix.",
            ));
        }
        let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
        let token = input.next_token.as_deref();
        let page = Page::open("DescribeLogStreams", limit.unwrap_or(PAGE_STREAMS), token);
        let page = page.map_err(|_| Error::invalid("The specified nextToken is invalid."))?;
        let (id, prefix) = (row.id, input.log_stream_name_prefix.unwrap_or_default());
        let descending = input.descending.unwrap_or(false);
        let (streams, next_token) = self
            .on_files(move |store| {
                if !by_time && !descending {
                    let after = page.after().map(str::to_owned);
                    let streams =
                        store.streams(&id, &prefix, after.as_deref(), page.limit() + 1)?;
                    return Ok(page.take(streams, |(name, _)| name.clone()));
                }
                let mut streams = store.streams(&id, &prefix, None, SORTED_MAX)?;
                let place = |(name, stream): &(String, Stream)| {
                    let at = if by_time { stream.last_at.unwrap_or(0) } else { 0 };
                    // Names end what times begin, so that pages follow each other.
                    (at, name.clone())
                };
                streams.sort_by_key(place);
                if descending {
                    streams.reverse();
                }
                Ok(page.take_sorted(streams, |stream| {
                    let (at, name) = place(stream);
                    format!("{at:020} {name}")
                }))
            })
            .await?;
        let shown = streams.iter().map(|(name, stream)| show(&scope, &group, name, stream));
        Ok(shapes::DescribeLogStreamsResponse { log_streams: Some(shown.collect()), next_token })
    }
}

fn show(scope: &Scope, group: &str, name: &str, stream: &Stream) -> shapes::LogStream {
    let token = super::token::digits(
        super::store::Position { at: stream.ingested_at.unwrap_or(0), sequence: stream.id },
        0,
    );
    shapes::LogStream {
        arn: Some(format!("{}:log-stream:{name}", group_arn(scope, group))),
        creation_time: Some(stream.created_at),
        first_event_timestamp: stream.first_at,
        last_event_timestamp: stream.last_at,
        last_ingestion_time: stream.ingested_at,
        log_stream_name: Some(name.to_owned()),
        stored_bytes: Some(0),
        upload_sequence_token: stream.ingested_at.map(|_| token),
    }
}
