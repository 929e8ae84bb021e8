//! Spans of `tracing` as OpenTelemetry's (decision 0031).
//!
//! A task's id is its trace's id, so the spans of server and agent meet in one trace and no message
//! between them carries anything for it. A request knows only at its end which tasks it started, so
//! what happens in a span is kept until the outermost one closes; then its trace is known. A
//! request that is about no task is a trace of its own, under its request id.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanLinks, SpanProcessor};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::settings::Share;

/// The most spans that one outermost span gathers; more are dropped.
const GATHERED_MAX: usize = 1_024;

/// Hands the steps of this share of traces to `processor`; without one, takes no part in anything.
///
/// Without one it is a layer with a filter all the same: beside a layer that has none, as `None` is,
/// `tracing` asks the filters of the others anew at each span, and makes those that nobody wants.
pub fn layer<S>(
    processor: Option<Arc<BatchSpanProcessor>>,
    share: Share,
) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let scope =
        InstrumentationScope::builder("longshore").with_version(env!("CARGO_PKG_VERSION")).build();
    let sends = processor.is_some();
    let steps = processor.map(|processor| Steps { processor, scope, share });
    steps.with_filter(filter_fn(move |meta| sends && is_step(meta)))
}

fn is_step(meta: &Metadata<'_>) -> bool {
    let is_call = || meta.name() == "call" && meta.target().starts_with("wire");
    meta.is_span() && (meta.target() == meters::TRACE || is_call())
}

struct Steps {
    processor: Arc<BatchSpanProcessor>,
    scope: InstrumentationScope,
    share: Share,
}

/// A span that is open, with those that closed in it.
struct Open {
    told: Told,
    start: SystemTime,
    gathered: Vec<Closed>,
}

/// A span that is over.
#[derive(Clone)]
struct Closed {
    id: SpanId,
    parent: SpanId,
    name: Cow<'static, str>,
    kind: SpanKind,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    link: Option<SpanContext>,
    failed: Option<String>,
}

/// What the fields of a span say.
#[derive(Default)]
struct Told {
    id: Option<SpanId>,
    task: Option<TraceId>,
    started: Vec<TraceId>,
    request: Option<TraceId>,
    step: Option<String>,
    service: Option<String>,
    operation: Option<String>,
    start_ms: Option<i64>,
    end_ms: Option<i64>,
    link: Option<SpanContext>,
    failed: Option<String>,
    attributes: Vec<KeyValue>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Steps {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut told = Told { id: Some(random_id()), ..Told::default() };
        attributes.record(&mut told);
        if let Some(module) = attributes.metadata().module_path() {
            told.attributes.push(KeyValue::new("code.namespace", module));
        }
        span.extensions_mut().insert(Open { told, start: now(), gathered: Vec::new() });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.told);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let Open { told, start, mut gathered } = open;
        let Some(own) = told.id else { return };
        let parent = span.scope().skip(1).find(|outer| outer.extensions().get::<Open>().is_some());
        let mut extensions = parent.as_ref().map(|parent| parent.extensions_mut());
        let outer = extensions.as_mut().and_then(|all| all.get_mut::<Open>());
        let outer_id = outer.as_ref().and_then(|outer| outer.told.id).unwrap_or(SpanId::INVALID);
        let places =
            Places { task: told.task, started: told.started.clone(), request: told.request };
        gathered.push(closed(span.metadata(), told, own, outer_id, start));
        match outer {
            Some(outer) => {
                let room = GATHERED_MAX.saturating_sub(outer.gathered.len());
                outer.gathered.extend(gathered.into_iter().take(room));
            }
            None => self.send(own, &places, &gathered),
        }
    }
}

/// The traces that an outermost span belongs to.
struct Places {
    task: Option<TraceId>,
    started: Vec<TraceId>,
    request: Option<TraceId>,
}

impl Steps {
    fn send(&self, outermost: SpanId, places: &Places, spans: &[Closed]) {
        let Places { task, started, request } = places;
        if !started.is_empty() {
            for (number, trace) in started.iter().enumerate() {
                let id = |id| match id {
                    id if id == outermost => root_of(*trace),
                    id if number == 0 => id,
                    id => mixed(id, *trace),
                };
                self.send_in(*trace, spans, SpanId::INVALID, id);
            }
        } else if let Some(trace) = task {
            self.send_in(*trace, spans, root_of(*trace), |id| id);
        } else if let Some(trace) = request {
            self.send_in(*trace, spans, SpanId::INVALID, |id| id);
        }
    }

    fn send_in(
        &self,
        trace: TraceId,
        spans: &[Closed],
        above: SpanId,
        id: impl Fn(SpanId) -> SpanId,
    ) {
        if !self.share.takes(trace.to_bytes()) {
            return;
        }
        for span in spans.iter().cloned() {
            let is_outermost = span.parent == SpanId::INVALID;
            let mut links = SpanLinks::default();
            links.links.extend(span.link.map(|context| Link::new(context, Vec::new(), 0)));
            self.processor.on_end(SpanData {
                span_context: context_of(trace, id(span.id), false),
                parent_span_id: if is_outermost { above } else { id(span.parent) },
                parent_span_is_remote: is_outermost && above != SpanId::INVALID,
                span_kind: span.kind,
                name: span.name,
                start_time: span.start,
                end_time: span.end,
                attributes: span.attributes,
                dropped_attributes_count: 0,
                events: Default::default(),
                links,
                status: span.failed.map_or(Status::Unset, Status::error),
                instrumentation_scope: self.scope.clone(),
            });
        }
    }
}

fn closed(
    meta: &'static Metadata<'static>,
    told: Told,
    id: SpanId,
    parent: SpanId,
    start: SystemTime,
) -> Closed {
    let Told { step, service, operation, start_ms, end_ms, link, failed, mut attributes, .. } =
        told;
    let (name, kind) = match (meta.name(), &service, &operation) {
        ("call", Some(service), Some(operation)) => {
            attributes.push(KeyValue::new("rpc.system", "aws-api"));
            attributes.push(KeyValue::new("rpc.service", service.clone()));
            attributes.push(KeyValue::new("rpc.method", operation.clone()));
            (Cow::Owned(format!("{service}.{operation}")), SpanKind::Server)
        }
        ("call", ..) => (Cow::Borrowed("call"), SpanKind::Server),
        (name, ..) => match step {
            Some(step) if step == "report" => (Cow::Owned(step), SpanKind::Client),
            Some(step) => (Cow::Owned(step), SpanKind::Internal),
            None => (Cow::Borrowed(name), SpanKind::Internal),
        },
    };
    let start = start_ms.and_then(at).unwrap_or(start);
    let end = end_ms.and_then(at).unwrap_or_else(now).max(start);
    Closed { id, parent, name, kind, start, end, attributes, link, failed }
}

impl Visit for Told {
    fn record_i64(&mut self, field: &Field, value: i64) {
        match field.name() {
            "start_ms" => self.start_ms = Some(value),
            "end_ms" => self.end_ms = Some(value),
            name => self.attributes.push(KeyValue::new(name, value)),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let owned = || Some(value.to_owned());
        match field.name() {
            "task" => self.task = trace_id(value),
            "started" => self.started = value.split(',').filter_map(trace_id).collect(),
            "step" => self.step = owned(),
            "service" => self.service = owned(),
            "operation" => self.operation = owned(),
            "link" => self.link = client_context(value),
            "failed" => self.failed = owned(),
            name => {
                if name == "request_id" {
                    self.request = trace_id(&value.replace('-', ""));
                }
                self.attributes.push(KeyValue::new(name, value.to_owned()));
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The trace of a task, or of a request.
fn trace_id(hex: &str) -> Option<TraceId> {
    let id = (hex.len() == 32).then(|| TraceId::from_hex(hex).ok())??;
    (id != TraceId::INVALID).then_some(id)
}

/// The span that began a task: its id follows from the task's, so that who works on the task
/// knows it without being told.
fn root_of(trace: TraceId) -> SpanId {
    let bytes = trace.to_bytes();
    let id = SpanId::from_bytes(*bytes.last_chunk().expect("8 of 16 bytes"));
    if id == SpanId::INVALID { SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, 1]) } else { id }
}

/// A copy of a span in another trace has an id of its own.
fn mixed(id: SpanId, trace: TraceId) -> SpanId {
    let mut bytes = id.to_bytes();
    bytes.iter_mut().zip(trace.to_bytes()).for_each(|(byte, other)| *byte ^= other);
    SpanId::from_bytes(bytes)
}

fn context_of(trace: TraceId, span: SpanId, is_remote: bool) -> SpanContext {
    SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, TraceState::NONE)
}

/// The client's span: `00-<trace>-<span>-<flags>` as W3C has it, or
/// `Root=1-<8 digits>-<24 digits>;Parent=<span>;…` as X-Ray has it.
fn client_context(header: &str) -> Option<SpanContext> {
    let (trace, span) = match header.strip_prefix("Root=") {
        Some(_) => {
            let part = |name| header.split(';').find_map(|part| part.trim().strip_prefix(name));
            (part("Root=1-")?.replace('-', ""), part("Parent=").unwrap_or("0").to_owned())
        }
        None => {
            let mut parts = header.split('-').skip(1);
            (parts.next()?.to_owned(), parts.next()?.to_owned())
        }
    };
    Some(context_of(trace_id(&trace)?, SpanId::from_hex(&span).ok()?, true))
}

fn random_id() -> SpanId {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel's random generator is there since boot");
    SpanId::from_bytes(bytes)
}

#[allow(
    clippy::disallowed_methods,
    reason = "spans are timed to the microsecond, and decide nothing"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn at(millis: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(millis).ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn clients_say_where_they_are_in_two_ways() {
        let check = |header, trace: &str, span: &str| {
            let context = client_context(header).unwrap();
            assert_eq!(context.trace_id().to_string(), trace);
            assert_eq!(context.span_id().to_string(), span);
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", trace, "b7ad6b7169203331");
        check(
            "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=53995c3f42cd8ad8;Sampled=1",
            trace,
            "53995c3f42cd8ad8",
        );
        for wrong in ["", "00", "Root=1", "00-xyz-1-1", "Root=1-0-0", "0-0-0-0"] {
            assert!(client_context(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_tasks_trace_and_root_follow_from_its_id() {
        let trace = trace_id("5f3b2a1c4d5e6f708192a3b4c5d6e7f8").unwrap();
        assert_eq!(root_of(trace).to_string(), "8192a3b4c5d6e7f8");
        let odd = trace_id("5f3b2a1c4d5e6f700000000000000000").unwrap();
        assert_eq!(root_of(odd).to_string(), "0000000000000001");
        assert!(trace_id("5f3b").is_none());
    }
}
