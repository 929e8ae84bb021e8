//! Listing alarms.

use events::paging::Page;
use shapes_cloudwatch as shapes;
use wire::Context;

use super::{Alarm, arn, scope};
use crate::error::Error;
use crate::{CloudWatch, Scope};

/// Most alarms of a page, and how many there are if the request does not say.
const PAGE_ALARMS: usize = 100;

impl CloudWatch {
    /// Lists alarms in the order of their names; those that are not there are just missing.
    pub(super) async fn describe_alarms(
        &self,
        context: Context,
        input: shapes::DescribeAlarmsInput,
    ) -> Result<shapes::DescribeAlarmsOutput, Error> {
        let named = input.alarm_names.as_deref().filter(|names| !names.is_empty());
        let prefix = input.alarm_name_prefix.as_deref();
        if named.is_some() && prefix.is_some() {
            return Err(Error::invalid("AlarmNamePrefix and AlarmNames cannot both be specified."));
        }
        let limit = input.max_records.and_then(|most| usize::try_from(most).ok());
        let limit = limit.unwrap_or(PAGE_ALARMS);
        let page = Page::open("DescribeAlarms", limit, input.next_token.as_deref());
        let page = page.map_err(|_| Error::NextToken)?;
        let scope = scope(&context);
        let (alarms, next_token) = match is_asked(&input) {
            true => {
                let snapshot = self.ledger.snapshot();
                let rows = snapshot.prefix(&self.tables.alarms, &scope);
                let rows = rows.map(|((_, name), row)| (name, row));
                let fitting = rows.filter(|(name, row)| {
                    named.is_none_or(|names| names.contains(name))
                        && prefix.is_none_or(|prefix| name.starts_with(prefix))
                        && input.state_value.is_none_or(|value| row.state.value == value)
                        && has_action(row, input.action_prefix.as_deref())
                });
                let (rows, token) = page.take(fitting, |(name, _)| name.clone());
                (rows.iter().map(|(_, row)| show(&scope, row)).collect(), token)
            }
            false => (Vec::new(), None),
        };
        let metric_alarms = Some(alarms);
        let (composite_alarms, log_alarms) = (Some(Vec::new()), None);
        Ok(shapes::DescribeAlarmsOutput { composite_alarms, log_alarms, metric_alarms, next_token })
    }
}

/// Whether metric alarms are asked for at all. They have no children and no parents.
fn is_asked(input: &shapes::DescribeAlarmsInput) -> bool {
    let types = input.alarm_types.as_deref().unwrap_or_default();
    let is_type = types.is_empty() || types.contains(&shapes::AlarmType::MetricAlarm);
    is_type && input.children_of_alarm_name.is_none() && input.parents_of_alarm_name.is_none()
}

fn has_action(alarm: &Alarm, prefix: Option<&str>) -> bool {
    let Some(prefix) = prefix else { return true };
    let input = &alarm.configuration;
    let lists = [&input.alarm_actions, &input.ok_actions, &input.insufficient_data_actions];
    lists.into_iter().flatten().flatten().any(|action| action.starts_with(prefix))
}

/// The alarm as CloudWatch shows it (recorded: lists are there even if they are empty).
fn show(scope: &Scope, alarm: &Alarm) -> shapes::MetricAlarm {
    let input = &*alarm.configuration;
    let list = |list: &Option<Vec<String>>| Some(list.clone().unwrap_or_default());
    shapes::MetricAlarm {
        actions_enabled: Some(input.actions_enabled.unwrap_or(true)),
        alarm_actions: list(&input.alarm_actions),
        alarm_arn: Some(arn(scope, &input.alarm_name)),
        alarm_configuration_updated_timestamp: Some(alarm.configured_at),
        alarm_description: input.alarm_description.clone(),
        alarm_name: Some(input.alarm_name.clone()),
        comparison_operator: input.comparison_operator,
        datapoints_to_alarm: input.datapoints_to_alarm,
        dimensions: Some(input.dimensions.clone().unwrap_or_default()),
        evaluate_low_sample_count_percentile: input.evaluate_low_sample_count_percentile.clone(),
        evaluation_periods: input.evaluation_periods,
        extended_statistic: input.extended_statistic.clone(),
        insufficient_data_actions: list(&input.insufficient_data_actions),
        metric_name: input.metric_name.clone(),
        metrics: input.metrics.clone(),
        namespace: input.namespace.clone(),
        ok_actions: list(&input.ok_actions),
        period: input.period,
        state_reason: Some(alarm.state.reason.clone()),
        state_reason_data: alarm.state.reason_data.clone(),
        state_transitioned_timestamp: Some(alarm.state.transitioned_at),
        state_updated_timestamp: Some(alarm.state.updated_at),
        state_value: Some(alarm.state.value),
        statistic: input.statistic,
        threshold: input.threshold,
        treat_missing_data: input.treat_missing_data.clone(),
        unit: input.unit,
        ..Default::default()
    }
}
