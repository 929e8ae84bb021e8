//! Events.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use terms::{AccountId, Region, Timestamp};

use crate::tables::Scope;

/// What an event is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// A UUID.
    pub id: String,
    /// Such as `ECS Task State Change`.
    pub detail_type: String,
    /// Such as `aws.ecs`.
    pub source: String,
    /// Whose it is.
    pub account: AccountId,
    /// Where it happened.
    pub region: Region,
    /// When.
    pub time: Timestamp,
    /// ARNs, mostly.
    pub resources: Vec<String>,
    /// A JSON object.
    pub detail: String,
}

/// An event. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event(Arc<NewEvent>);

impl Event {
    /// The event made of this.
    pub fn new(new: NewEvent) -> Self {
        Self(Arc::new(new))
    }

    /// Where it belongs.
    pub fn scope(&self) -> Scope {
        Scope { account: self.account.clone(), region: self.region.clone() }
    }

    /// The envelope, its members in EventBridge's order; times are whole seconds.
    pub fn text(&self) -> String {
        let string = |text: &str| Value::from(text).to_string();
        let resources: Vec<String> = self.resources.iter().map(|arn| string(arn)).collect();
        format!(
            "{{\"version\":\"0\",\"id\":{},\"detail-type\":{},\"source\":{},\"account\":{},\
             \"time\":{},\"region\":{},\"resources\":[{}],\"detail\":{}}}",
            string(&self.id),
            string(&self.detail_type),
            string(&self.source),
            string(self.account.as_str()),
            string(&whole_seconds(self.time)),
            string(self.region.as_str()),
            resources.join(","),
            self.detail,
        )
    }

    /// The same as a value.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }
}

impl std::ops::Deref for Event {
    type Target = NewEvent;
    fn deref(&self) -> &NewEvent {
        &self.0
    }
}

/// As in `2026-01-02T03:04:05Z`.
pub(crate) fn whole_seconds(time: Timestamp) -> String {
    let text = Timestamp::from_millis(time.seconds() * 1000).to_string();
    text.replace(".000Z", "Z")
}

/// Something that happened, of which an event can be made. Making its detail waits until somebody
/// wants it.
#[derive(Clone)]
pub struct Moment {
    /// Where it belongs.
    pub scope: Scope,
    /// Such as `aws.ecs`.
    pub source: &'static str,
    /// Such as `ECS Task State Change`.
    pub detail_type: &'static str,
    /// ARNs, the first of which it is about.
    pub resources: Vec<String>,
    /// Gives the detail, a JSON object.
    pub detail: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Moment {
    /// The event that tells of it.
    pub fn event(&self, id: String, time: Timestamp) -> Event {
        let Self { scope, source, detail_type, resources, detail } = self;
        Event::new(NewEvent {
            id,
            detail_type: (*detail_type).to_owned(),
            source: (*source).to_owned(),
            account: scope.account.clone(),
            region: scope.region.clone(),
            time,
            resources: resources.clone(),
            detail: detail(),
        })
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({}, {:?})", self.detail_type, self.resources)
    }
}
