//! `LookupEvents`: the newest calls first, by one attribute.

use serde_json::Value;
use sha2::{Digest, Sha256};
use shapes_cloudtrail as shapes;
use terms::Timestamp;
use wire::Context;

use crate::error::Error;
use crate::model::{resources, username};
use crate::trail::{Filter, Line, Places, Start, Trail};

/// Most events of one page, and as many unless said otherwise (CloudTrail API reference).
const PAGE_MAX: usize = 50;

pub(super) async fn events(
    trail: &Trail,
    context: Context,
    input: shapes::LookupEventsRequest,
) -> Result<shapes::LookupEventsResponse, Error> {
    if input.event_category.is_some() {
        return Err(Error::Insights);
    }
    if let (Some(start), Some(end)) = (input.start_time, input.end_time)
        && start > end
    {
        return Err(Error::TimeRange);
    }
    let attributes = input.lookup_attributes.unwrap_or_default();
    let attribute = match attributes.as_slice() {
        [] => None,
        [one] => Some((one.attribute_key.as_str().to_owned(), one.attribute_value.clone())),
        _ => return Err(Error::Attributes("You can only specify one lookup attribute.")),
    };
    if let Some((name, value)) = &attribute
        && name == "ReadOnly"
        && !matches!(value.as_str(), "true" | "false")
    {
        return Err(Error::Attributes("ReadOnly is true or false."));
    }
    let filter = Filter {
        account: Some(context.caller.account.to_string()),
        region: Some(context.caller.region.to_string()),
        since: input.start_time.map(seconds),
        until: input.end_time.map(seconds),
        attribute,
        only_calls: true,
        ..Filter::default()
    };
    let question = question(&filter);
    let start = match &input.next_token {
        None => Start::Newest,
        Some(token) => Start::Before(places(token, &question).ok_or(Error::NextToken)?),
    };
    let limit = input.max_results.and_then(|count| usize::try_from(count).ok());
    let limit = limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    // Who could not be asked has no place in the answer; the log tells of it.
    let page = trail.look_everywhere(filter, start, limit).await?;
    Ok(shapes::LookupEventsResponse {
        events: Some(page.lines.into_iter().map(shown).collect()),
        next_token: page.next.map(|places| token(&places, &question)),
    })
}

fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// What a token is for: a page of another question would be told as one of this.
fn question(filter: &Filter) -> String {
    let Filter { account, region, since, until, attribute, .. } = filter;
    let text = format!("{account:?} {region:?} {since:?} {until:?} {attribute:?}");
    data_encoding::HEXLOWER.encode(&Sha256::digest(text)[..8])
}

fn token(places: &Places, question: &str) -> String {
    format!("{}-{question}", crate::trail::written(places))
}

fn places(token: &str, question: &str) -> Option<Places> {
    let (places, of) = token.split_once('-')?;
    crate::trail::places(places).filter(|_| of == question)
}

fn shown(line: Line) -> shapes::Event {
    let event = line.entry.event;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let about = |(name, kind): (&str, Option<&str>)| shapes::Resource {
        resource_name: Some(name.to_owned()),
        resource_type: kind.map(str::to_owned),
    };
    let resources: Vec<_> = resources(&event).into_iter().map(about).collect();
    let at = event["eventTime"].as_str().and_then(wire::protocol::parse_iso8601);
    shapes::Event {
        access_key_id: text(&event["userIdentity"]["accessKeyId"]),
        cloud_trail_event: Some(event.to_string()),
        event_id: text(&event["eventID"]),
        event_name: text(&event["eventName"]),
        event_source: text(&event["eventSource"]),
        event_time: at,
        read_only: Some(event["readOnly"].to_string()),
        resources: Some(resources),
        username: username(&event).map(str::to_owned),
    }
}
