//! TestMetricFilter: which messages a pattern matches.

use shapes_logs as shapes;
use wire::Context;

use super::Logs;
use super::error::Error;
use super::pattern::Pattern;

impl Logs {
    /// Tries a pattern on messages; nothing is stored.
    pub(super) async fn test_metric_filter(
        &self,
        _: Context,
        input: shapes::TestMetricFilterRequest,
    ) -> Result<shapes::TestMetricFilterResponse, Error> {
        let pattern = Pattern::parse(&input.filter_pattern);
        let pattern = pattern.map_err(|_| Error::invalid("Invalid filter pattern"))?;
        let numbered = (1_i64..).zip(input.log_event_messages);
        let matches = numbered.filter(|(_, message)| pattern.matches(message));
        let matches = matches.map(|(number, message)| shapes::MetricFilterMatchRecord {
            event_number: Some(number),
            extracted_values: Some(pattern.extracted(&message)),
            event_message: Some(message),
        });
        Ok(shapes::TestMetricFilterResponse { matches: Some(matches.collect()) })
    }
}
