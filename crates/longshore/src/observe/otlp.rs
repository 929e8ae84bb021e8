//! Spans on their way to a collector: OTLP over HTTP, through a bounded queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor as _};
use tokio::runtime::Handle;

/// Spans that wait to be sent; more are dropped.
const QUEUE_SPANS: usize = 8_192;
/// How long spans wait for company.
const DELAY: Duration = Duration::from_secs(1);
/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer of a collector that is read, in bytes.
const ANSWER_BYTES: usize = 64 << 10;
/// Where a collector takes traces, after its base URL.
const TRACES_PATH: &str = "/v1/traces";

/// Starts to send spans to the collector at this base URL.
///
/// # Errors
/// If the URL is none, or this machine's certificate authorities cannot be read.
pub fn processor(
    endpoint: &str,
    role: &'static str,
    runtime: &Handle,
) -> Result<Arc<BatchSpanProcessor>> {
    let url = match endpoint.trim_end_matches('/') {
        whole if whole.ends_with(TRACES_PATH) => whole.to_owned(),
        base => format!("{base}{TRACES_PATH}"),
    };
    let protocol = match std::env::var("OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
        Ok("http/json") => Protocol::HttpJson,
        _ => Protocol::HttpBinary,
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Carrier::new(runtime.clone())?)
        .with_protocol(protocol)
        .with_endpoint(&url)
        .with_timeout(TIMEOUT)
        .build()
        .with_context(|| format!("--otlp-endpoint {endpoint}"))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS)
        .with_scheduled_delay(DELAY)
        .build();
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let host = host.unwrap_or_default();
    let resource = Resource::builder()
        .with_service_name(format!("longshore-{role}"))
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", format!("{host}:{}", std::process::id())),
            KeyValue::new("host.name", host),
        ])
        .build();
    processor.set_resource(&resource);
    Ok(Arc::new(processor))
}

/// Sends requests from the exporter's own thread by way of our runtime.
#[derive(Debug)]
struct Carrier {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

impl Carrier {
    fn new(runtime: Handle) -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("reading this machine's certificate authorities")?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, runtime })
    }
}

#[async_trait]
impl HttpClient for Carrier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let call = self.client.request(request.map(Full::new));
        let sent = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(TIMEOUT, call).await??;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        });
        sent.await?
    }
}
