//! Metric alarms: what they are, and the operations on them (CloudWatch API reference).

mod check;
mod describe;
mod put;

use serde::{Deserialize, Serialize};
use shapes_cloudwatch as shapes;
use shapes_cloudwatch::operations as ops;
use terms::Timestamp;
use wire::document::Document;
use wire::{Context, Service, ServiceError};

use crate::{CloudWatch, Scope};

pub use shapes_cloudwatch::StateValue;

/// A metric alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alarm {
    /// The request that made or changed it last.
    pub(crate) configuration: Document<shapes::PutMetricAlarmInput>,
    /// When that was.
    pub(crate) configured_at: Timestamp,
    /// Its state.
    pub(crate) state: AlarmState,
}

/// What an alarm says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmState {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    #[serde(with = "value_text")]
    pub value: StateValue,
    /// Why, for people.
    pub reason: String,
    /// Why, as JSON.
    pub reason_data: Option<String>,
    /// When it was set last, to whichever value.
    pub updated_at: Timestamp,
    /// When the value changed last.
    pub transitioned_at: Timestamp,
}

impl AlarmState {
    /// The state of a new alarm (recorded).
    fn new(now: Timestamp) -> Self {
        Self {
            value: StateValue::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            updated_at: now,
            transitioned_at: now,
        }
    }

    /// Whether it is in ALARM.
    pub fn is_alarm(&self) -> bool {
        self.value == StateValue::Alarm
    }
}

/// States as CloudWatch writes them, in stored rows too.
mod value_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use shapes_cloudwatch::StateValue;
    use wire::value::Enumeration;

    pub(super) fn serialize<S: Serializer>(
        value: &StateValue,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<StateValue, D::Error> {
        let text = String::deserialize(deserializer)?;
        StateValue::parse(&text).ok_or_else(|| serde::de::Error::custom("no state of an alarm"))
    }
}

/// Adds handlers: the operation, then the method of [`CloudWatch`] that answers it.
macro_rules! operations {
    ($room:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let room = $room.clone();
            move |context, input| {
                let room = room.clone();
                async move { room.$handler(context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(room: &CloudWatch) -> Service {
    operations! { room, Service::new(&shapes::SERVICE),
        DeleteAlarms => delete_alarms;
        DescribeAlarms => describe_alarms;
        PutMetricAlarm => put_metric_alarm;
        SetAlarmState => set_alarm_state;
    }
}

fn scope(context: &Context) -> Scope {
    let caller = &context.caller;
    Scope { account: caller.account.clone(), region: caller.region.clone() }
}

/// The ARN of an alarm.
pub(crate) fn arn(scope: &Scope, name: &str) -> String {
    let Scope { account, region } = scope;
    format!("arn:aws:cloudwatch:{region}:{account}:alarm:{name}")
}
