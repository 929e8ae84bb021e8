//! What an alarm must be like beyond its model (API reference, PutMetricAlarm).

use shapes_cloudwatch as shapes;
use shapes_cloudwatch::ComparisonOperator;

use crate::error::Error;

/// Longest time that periods may cover together, in seconds: a day.
const COVERED_MAX_S: i64 = 86_400;
/// The same for periods of an hour or more: a week.
const COVERED_LONG_MAX_S: i64 = 7 * 86_400;
/// A period of at least this is long, in seconds.
const LONG_PERIOD_S: i32 = 3_600;
/// What TreatMissingData may be.
const MISSING: [&str; 4] = ["breaching", "notBreaching", "ignore", "missing"];

/// Checks a request.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn put(input: &shapes::PutMetricAlarmInput) -> Result<(), Error> {
    built(input)?;
    let operator = input.comparison_operator.ok_or_else(|| missing("ComparisonOperator"))?;
    if !matches!(
        operator,
        ComparisonOperator::GreaterThanThreshold
            | ComparisonOperator::GreaterThanOrEqualToThreshold
            | ComparisonOperator::LessThanThreshold
            | ComparisonOperator::LessThanOrEqualToThreshold
    ) {
        return Err(not_built("anomaly detection"));
    }
    input.threshold.ok_or_else(|| missing("Threshold"))?;
    let periods = input.evaluation_periods.ok_or_else(|| missing("EvaluationPeriods"))?;
    if input.datapoints_to_alarm.is_some_and(|points| points > periods) {
        return Err(Error::invalid(
            "DatapointsToAlarm must be less than or equal to EvaluationPeriods",
        ));
    }
    if let Some(treat) = &input.treat_missing_data
        && !MISSING.contains(&treat.as_str())
    {
        let text = format!("The value {treat} is not supported for TreatMissingData parameter.");
        return Err(Error::invalid(text));
    }
    match input.metrics.as_deref().filter(|metrics| !metrics.is_empty()) {
        Some(metrics) => queries(input, metrics),
        None => metric(input, periods),
    }
}

fn missing(member: &str) -> Error {
    Error::invalid(format!("{member} must not be null"))
}

fn not_built(what: &'static str) -> Error {
    Error::NotBuilt { operation: "PutMetricAlarm", what }
}

/// Members that change what an alarm means and are not built.
fn built(input: &shapes::PutMetricAlarmInput) -> Result<(), Error> {
    let members = [
        ("ThresholdMetricId", input.threshold_metric_id.is_some()),
        ("EvaluationCriteria", input.evaluation_criteria.is_some()),
        ("EvaluationInterval", input.evaluation_interval.is_some()),
        ("EvaluationWindow", input.evaluation_window.is_some()),
        ("WarmUpConfiguration", input.warm_up_configuration.is_some()),
        ("ActionConfiguration", input.action_configuration.is_some()),
    ];
    match members.into_iter().find(|(_, is_there)| *is_there) {
        Some((what, _)) => Err(not_built(what)),
        None => Ok(()),
    }
}

/// An alarm over one metric.
fn metric(input: &shapes::PutMetricAlarmInput, periods: i32) -> Result<(), Error> {
    input.metric_name.as_ref().ok_or_else(|| missing("MetricName"))?;
    input.namespace.as_ref().ok_or_else(|| missing("Namespace"))?;
    let period = input.period.ok_or_else(|| missing("Period"))?;
    if input.statistic.is_some() == input.extended_statistic.is_some() {
        return Err(Error::invalid(
            "Exactly one of Statistic and ExtendedStatistic must be specified.",
        ));
    }
    check_period(period)?;
    let covered = i64::from(period) * i64::from(periods);
    let most = if period >= LONG_PERIOD_S { COVERED_LONG_MAX_S } else { COVERED_MAX_S };
    if covered > most {
        return Err(Error::invalid(format!(
            "Metrics cannot be checked across more than {} (EvaluationPeriods * Period must be <= {most}).",
            if most == COVERED_MAX_S { "a day" } else { "seven days" },
        )));
    }
    Ok(())
}

fn check_period(period: i32) -> Result<(), Error> {
    if matches!(period, 10 | 20 | 30) || (period > 0 && period % 60 == 0) {
        return Ok(());
    }
    Err(Error::invalid("Period must be 10, 20, 30 or a multiple of 60"))
}

/// An alarm over metrics and expressions.
fn queries(
    input: &shapes::PutMetricAlarmInput,
    metrics: &[shapes::MetricDataQuery],
) -> Result<(), Error> {
    let single = input.metric_name.is_some()
        || input.namespace.is_some()
        || input.period.is_some()
        || input.statistic.is_some()
        || input.extended_statistic.is_some()
        || input.dimensions.as_ref().is_some_and(|dimensions| !dimensions.is_empty());
    if single {
        return Err(Error::invalid(
            "Metrics cannot be specified together with MetricName, Namespace, Dimensions, Period, \
             Statistic or ExtendedStatistic.",
        ));
    }
    let told = metrics.iter().filter(|query| query.return_data != Some(false)).count();
    if told != 1 {
        return Err(Error::invalid("Exactly one element of the metrics list should return data."));
    }
    Ok(())
}
