//! What clients do with alarms.

use serde_json::{Value, json};

use crate::client::Caller;

/// All alarms of a run.
pub(crate) const ALARMS: [&str; 2] = ["errors", "latency"];

impl Caller {
    /// Makes the alarms, if the run has some.
    pub(crate) async fn prepare_alarms(&mut self) {
        if self.world.plan.services.as_ref().is_some_and(|plan| plan.alarms) {
            for name in ALARMS {
                // Without them nothing is wrong: services may name what is not there.
                let _ = self.ask_alarms("PutMetricAlarm", &definition(name)).await;
            }
        }
    }

    async fn ask_alarms(&self, operation: &str, body: &Value) -> Option<Value> {
        let answer = self.client().invoke(&shapes_cloudwatch::SERVICE, operation, body).await;
        if let Err(error) = &answer {
            self.world.note(format!("{} fails at {operation}: {error}", self.name));
        }
        answer.ok()
    }

    /// Some of them, for a deployment to heed.
    pub(crate) fn some_alarms(&self) -> Value {
        let (count, rollback) =
            self.world.draw(|chance| (1 + chance.below(2), chance.below(3) > 0));
        let names = &ALARMS[..usize::try_from(count).unwrap_or(1)];
        json!({ "alarmNames": names, "enable": true, "rollback": rollback })
    }

    /// Sets one off or calms it; now and then one is deleted or made again.
    pub(crate) async fn manage_alarms(&mut self) {
        let Some(name) = self.world.draw(|chance| chance.pick(&ALARMS).copied()) else { return };
        let state = match self.world.draw(|chance| chance.below(10)) {
            0 => return drop(self.ask_alarms("PutMetricAlarm", &definition(name)).await),
            1 => {
                let body = json!({ "AlarmNames": [name] });
                return drop(self.ask_alarms("DeleteAlarms", &body).await);
            }
            2..6 => "ALARM",
            _ => "OK",
        };
        let body = json!({ "AlarmName": name, "StateValue": state, "StateReason": "simulated" });
        if self.ask_alarms("SetAlarmState", &body).await.is_some() {
            self.world.tally("alarm set", format!("{name} {state}"));
        }
    }
}

/// One that looks back on half a minute.
fn definition(name: &str) -> Value {
    json!({
        "AlarmName": name, "MetricName": name, "Namespace": "simulated", "Statistic": "Sum",
        "Period": 10, "EvaluationPeriods": 3, "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    })
}
