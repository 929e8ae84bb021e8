//! The text that Prometheus reads.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// What every name begins with.
pub const NAME_PREFIX: &str = "longshore";

/// The last line of OpenMetrics.
const END: &str = "# EOF\n";

/// The two forms of Prometheus' text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0, with units and an end mark.
    OpenMetrics,
    /// Prometheus' own text format 0.0.4, which every tool reads.
    Classic,
}

impl Form {
    /// The form that a request's `Accept` header asks for: OpenMetrics if it is named.
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Classic,
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All meters of the process, and those of `more`, in this form.
pub fn render(more: &Registry, form: Form) -> String {
    let mut text = String::new();
    for registry in [crate::registry(), more] {
        encode(&mut text, registry).expect("writing to a string does not fail");
        // Each ends so, and there may be one end only.
        text.truncate(text.len() - END.len());
    }
    match form {
        Form::OpenMetrics => text + END,
        Form::Classic => classic(&text),
    }
}

/// OpenMetrics names a counter without the `_total` of its samples, and an info without `_info`, and
/// tells units; the classic format names what the samples are called, and knows neither units nor
/// infos.
fn classic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.splitn(4, ' ');
        let (mark, kind) = (words.next(), words.next());
        let (name, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (mark, kind) {
            (Some("#"), Some("UNIT")) => continue,
            (Some("#"), Some("HELP")) => {
                let next = lines.peek().copied().unwrap_or_default();
                let of_type = next.rsplit_once(' ').map_or("", |(_, of_type)| of_type);
                let end = classic_type(of_type).0;
                out.push_str(&format!("# HELP {name}{end} {rest}"));
            }
            (Some("#"), Some("TYPE")) => {
                let (end, of_type) = classic_type(rest);
                out.push_str(&format!("# TYPE {name}{end} {of_type}"));
            }
            // An exemplar stands after the value.
            _ => out.push_str(line.split(" # {").next().unwrap_or(line)),
        }
        out.push('\n');
    }
    out
}

/// What the classic format appends to the name of a metric of this type, and calls the type.
fn classic_type(open: &str) -> (&'static str, &str) {
    match open {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        other => ("", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Word};

    #[test]
    fn both_forms_name_counters_as_they_should() {
        let call = Call {
            service: Word::new("ecs"),
            operation: Word::new("RunTask"),
            code: Word::new("a\"b\n"),
        };
        crate::edge().answered(call, std::time::Duration::from_millis(3));
        let more = Registry::default();
        let classic = render(&more, Form::Classic);
        let labels = r#"{service="ecs",operation="RunTask",code="a\"b\n"}"#;
        let expected = format!(
            "# HELP longshore_edge_requests_total Requests that were answered, by code.\n\
             # TYPE longshore_edge_requests_total counter\n\
             longshore_edge_requests_total{labels} 1\n"
        );
        assert!(classic.contains(&expected), "{classic}");
        assert!(classic.contains("# TYPE longshore_edge_request_seconds histogram\n"), "{classic}");
        assert_eq!(classic_type("info"), ("_info", "gauge"));
        assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"), "{classic}");
        let open = render(&more, Form::OpenMetrics);
        assert!(open.contains("# TYPE longshore_edge_requests counter\n"), "{open}");
        assert!(open.contains("# UNIT longshore_edge_request_seconds seconds\n"), "{open}");
        assert!(open.ends_with("# EOF\n") && open.matches("# EOF").count() == 1, "{open}");
    }
}
