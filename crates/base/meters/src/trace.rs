//! What traces are made of. A span of the target [`TRACE`] is a step of a trace, and costs next to
//! nothing while nobody collects them; `longshore` turns them into OpenTelemetry's (decision 0031).
//!
//! Fields that say where a span belongs:
//! - `task`: the id of the task that it is about, 32 hexadecimal digits. They are the trace's id
//!   too: so the server's spans and the agent's share a trace, and no message has to carry it.
//! - `started`: ids, with commas between, of the tasks that began with this span: it is the root
//!   of their traces.
//! - `start_ms`, `end_ms`: since 1970, for steps that are told of afterwards.
//! - `failed`: what went wrong.

/// The target of spans that are steps of traces.
pub const TRACE: &str = "longshore::trace";

/// Tells of a step of a task that is over: from `start_ms` to `end_ms`, or to now.
#[macro_export]
macro_rules! step {
    ($name:literal, $task:expr, $start_ms:expr $(, $field:ident = $value:expr)* $(,)?) => {
        drop(tracing::info_span!(
            target: $crate::TRACE,
            parent: None,
            $name,
            task = %$task,
            start_ms = $start_ms,
            $($field = $value),*
        ))
    };
}
