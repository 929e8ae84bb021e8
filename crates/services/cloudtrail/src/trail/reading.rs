//! Looking into the trail, the newest lines first, or from a line on.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TrailError;
use super::chain::parts;
use super::files::list;
use crate::model::{resources, username};

/// Bytes of files that one question looks through; it is told where to go on.
const LOOK_MAX_BYTES: u64 = 64 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// Its record, in CloudTrail's shape.
    pub event: Value,
}

/// Where a question begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// With the newest line before this number, and on to older ones.
    Before(u64),
    /// With the oldest line after this number, and on to newer ones.
    After(u64),
}

/// What lines are wanted; all that is named must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Of this account.
    pub account: Option<String>,
    /// Of this region.
    pub region: Option<String>,
    /// Not older, as records have times: `2026-01-02T03:04:05Z`.
    pub since: Option<String>,
    /// Not younger.
    pub until: Option<String>,
    /// With a name of the user, its session or its ARN that has this in it.
    pub who: Option<String>,
    /// Of this operation, with or without its service: `RunTask`, `ecs:RunTask`.
    pub action: Option<String>,
    /// With this in an ARN or in what the input names.
    pub resource: Option<String>,
    /// With the id of this request.
    pub request: Option<String>,
    /// Only what was refused.
    pub only_denied: bool,
    /// Only what went wrong, refusals among it.
    pub only_failed: bool,
    /// CloudTrail's own attributes: name and value.
    pub attribute: Option<(String, String)>,
    /// Without the trail's own lines.
    pub only_calls: bool,
}

impl Filter {
    /// Whether a line that is wanted can say this: a look at its text alone.
    fn may_fit(&self, text: &str) -> bool {
        let has = |part: &Option<String>| part.as_ref().is_none_or(|part| text.contains(part));
        let name = self.action.as_ref().map(|action| operation(action).to_owned());
        has(&self.request) && has(&name)
    }

    fn fits(&self, event: &Value) -> bool {
        let is = |member: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| event[member] == wanted.as_str())
        };
        let identity = &event["userIdentity"];
        let who = self.who.as_ref().is_none_or(|who| {
            ["userName", "arn", "accessKeyId", "principalId"]
                .iter()
                .any(|member| identity[*member].as_str().is_some_and(|text| text.contains(who)))
        });
        let action = self.action.as_ref().is_none_or(|action| {
            let service = action.split_once(':').map(|(service, _)| service);
            event["eventName"] == operation(action) && service.is_none_or(|it| of(event, it))
        });
        let decided = event["additionalEventData"]["decision"].as_str().unwrap_or_default();
        let is_denied = matches!(decided, "explicitDeny" | "implicitDeny" | "denied");
        is("recipientAccountId", &self.account)
            && is("awsRegion", &self.region)
            && is("requestID", &self.request)
            && who
            && action
            && self.resource.as_ref().is_none_or(|resource| names(event, resource))
            && (!self.only_denied || is_denied)
            && (!self.only_failed || !event["errorCode"].is_null())
            && (!self.only_calls || event["eventType"] == "AwsApiCall")
            && self.attribute.as_ref().is_none_or(|(name, value)| attribute(event, name, value))
    }

    fn is_too_old(&self, event: &Value) -> bool {
        let at = event["eventTime"].as_str().unwrap_or_default();
        self.since.as_ref().is_some_and(|since| at < since.as_str())
    }

    fn is_too_young(&self, event: &Value) -> bool {
        let at = event["eventTime"].as_str().unwrap_or_default();
        self.until.as_ref().is_some_and(|until| at > until.as_str())
    }
}

fn operation(action: &str) -> &str {
    action.split_once(':').map_or(action, |(_, operation)| operation)
}

fn of(event: &Value, service: &str) -> bool {
    let source = event["eventSource"].as_str().unwrap_or_default();
    source.split('.').next() == Some(service)
}

/// Whether a record names a resource: by an ARN that has this in it, or as a value of its input.
fn names(event: &Value, resource: &str) -> bool {
    let arns = event["resources"].as_array().into_iter().flatten();
    let by_arn = arns.filter_map(|one| one["ARN"].as_str()).any(|arn| arn.contains(resource));
    by_arn
        || event["requestParameters"].as_object().is_some_and(|input| {
            input.values().any(|value| match value {
                Value::Array(items) => items.iter().any(|item| item == resource),
                value => value == resource,
            })
        })
}

/// CloudTrail's attributes of `LookupEvents`.
fn attribute(event: &Value, name: &str, value: &str) -> bool {
    match name {
        "EventId" => event["eventID"] == value,
        "EventName" => event["eventName"] == value,
        "EventSource" => event["eventSource"] == value,
        "ReadOnly" => value.parse::<bool>().is_ok_and(|wanted| event["readOnly"] == wanted),
        "Username" => username(event) == Some(value),
        "AccessKeyId" => event["userIdentity"]["accessKeyId"] == value,
        "ResourceName" => names(event, value),
        "ResourceType" => resources(event).iter().any(|(_, kind)| *kind == Some(value)),
        _ => false,
    }
}

/// Up to `limit` lines that are wanted, and where to go on if there may be more.
///
/// # Errors
/// If a file cannot be read.
pub fn read(
    folder: &Path,
    filter: &Filter,
    place: Place,
    limit: usize,
) -> Result<(Vec<Entry>, Option<Place>), TrailError> {
    let files = list(folder)?;
    let (mut found, mut looked) = (Vec::new(), 0);
    let numbers: Vec<u64> = files.keys().copied().collect();
    let ends = |at: usize| numbers.get(at + 1).copied().unwrap_or(u64::MAX);
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    match place {
        Place::Before(before) => {
            order.retain(|at| numbers[*at] < before);
            order.reverse();
        }
        Place::After(after) => order.retain(|at| ends(*at) > after.saturating_add(1)),
    }
    for at in order {
        let path = &files[&numbers[at]];
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            // Dropped meanwhile: it was too old.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => {
                let what = format!("reading {}", path.display());
                return Err(TrailError::Io { what, source });
            }
        };
        looked += text.len() as u64;
        // A last line without an end is being written.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let is_over = match place {
            Place::Before(_) => take(whole.lines().rev(), filter, place, limit, &mut found),
            Place::After(_) => take(whole.lines(), filter, place, limit, &mut found),
        };
        if is_over {
            let next = found.last().filter(|_| found.len() >= limit).map(|last| last.number);
            return Ok((found, next.map(|number| going_on(place, number))));
        }
        if looked >= LOOK_MAX_BYTES {
            let number = match place {
                Place::Before(_) => numbers[at],
                Place::After(_) => ends(at).saturating_sub(1),
            };
            return Ok((found, Some(going_on(place, number))));
        }
    }
    Ok((found, None))
}

fn going_on(place: Place, number: u64) -> Place {
    match place {
        Place::Before(_) => Place::Before(number),
        Place::After(_) => Place::After(number),
    }
}

/// Takes wanted lines; whether there is nothing more to look for.
fn take<'a>(
    lines: impl Iterator<Item = &'a str>,
    filter: &Filter,
    place: Place,
    limit: usize,
    found: &mut Vec<Entry>,
) -> bool {
    for line in lines {
        let Some((_, number, record)) = parts(line) else { continue };
        let is_beyond = match place {
            Place::Before(before) => number >= before,
            Place::After(after) => number <= after,
        };
        if is_beyond {
            continue;
        }
        let is_bounded = filter.since.is_some() || filter.until.is_some();
        if !is_bounded && !filter.may_fit(record) {
            continue;
        }
        let Ok(event) = serde_json::from_str::<Value>(record) else { continue };
        let (old, young) = (filter.is_too_old(&event), filter.is_too_young(&event));
        match place {
            Place::Before(_) if old => return true,
            Place::After(_) if young => return true,
            _ => {}
        }
        if !old && !young && filter.fits(&event) {
            found.push(Entry { number, event });
        }
        if found.len() >= limit {
            return true;
        }
    }
    false
}
