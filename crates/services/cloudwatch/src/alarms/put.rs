//! Making, changing, setting and deleting alarms.

use shapes_cloudwatch as shapes;
use wire::document::Document;
use wire::{Context, Unit};

use super::{Alarm, AlarmState, check, scope};
use crate::CloudWatch;
use crate::error::Error;

/// Most alarms that one request deletes.
const DELETED_MAX: usize = 100;

impl CloudWatch {
    /// Makes an alarm, or replaces all of it but its state and its tags.
    pub(super) async fn put_metric_alarm(
        &self,
        context: Context,
        input: shapes::PutMetricAlarmInput,
    ) -> Result<Unit, Error> {
        check::put(&input)?;
        let key = (scope(&context), input.alarm_name.clone());
        let done = self.ledger.transact("put alarm", |tx| {
            let now = tx.now();
            let before = tx.get(&self.tables.alarms, &key);
            let mut configuration = input.clone();
            if let Some(before) = &before {
                // Tags are read when an alarm is made (API reference).
                configuration.tags = before.configuration.tags.clone();
            }
            let state = before.map_or_else(|| AlarmState::new(now), |before| before.state.clone());
            let configuration = Document::new(configuration);
            let alarm = Alarm { configuration, configured_at: now, state };
            tx.put(&self.tables.alarms, key.clone(), alarm);
            Ok::<_, Error>(Unit)
        });
        Ok(done.await?.value)
    }

    /// Sets an alarm's state until something sets it anew.
    pub(super) async fn set_alarm_state(
        &self,
        context: Context,
        input: shapes::SetAlarmStateInput,
    ) -> Result<Unit, Error> {
        let data = input.state_reason_data.as_deref();
        if data.is_some_and(|data| serde_json::from_str::<serde_json::Value>(data).is_err()) {
            return Err(Error::Format("StateReasonData must be valid JSON.".to_owned()));
        }
        let key = (scope(&context), input.alarm_name.clone());
        let done = self.ledger.transact("set alarm state", |tx| {
            let row = tx.get(&self.tables.alarms, &key).ok_or(Error::NotFound)?;
            let now = tx.now();
            let mut alarm = Alarm::clone(&row);
            let moved = alarm.state.value != input.state_value;
            alarm.state = AlarmState {
                value: input.state_value,
                reason: input.state_reason.clone(),
                reason_data: input.state_reason_data.clone(),
                updated_at: now,
                transitioned_at: if moved { now } else { alarm.state.transitioned_at },
            };
            tx.put(&self.tables.alarms, key.clone(), alarm);
            Ok(Unit)
        });
        Ok(done.await?.value)
    }

    /// Deletes alarms; names of none do not stop the others (API reference).
    pub(super) async fn delete_alarms(
        &self,
        context: Context,
        input: shapes::DeleteAlarmsInput,
    ) -> Result<Unit, Error> {
        if input.alarm_names.len() > DELETED_MAX {
            return Err(Error::invalid(format!("At most {DELETED_MAX} alarms can be deleted.")));
        }
        let scope = scope(&context);
        let done = self.ledger.transact("delete alarms", |tx| {
            for name in &input.alarm_names {
                let key = (scope.clone(), name.clone());
                if tx.get(&self.tables.alarms, &key).is_some() {
                    tx.delete(&self.tables.alarms, &key);
                }
            }
            Ok::<_, Error>(Unit)
        });
        Ok(done.await?.value)
    }
}
