//! What the operator says about seeing inside.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use clap::Args;

use super::logs::LogFormat;
use crate::settings::Resolver;

/// Flags of every role that serves.
#[derive(Args, Clone, Debug, Default)]
pub struct ObserveFlags {
    /// Address and port at which Prometheus reads /metrics, unsigned [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// The form of log lines on standard error: text, or JSON [default: text]
    #[arg(long, value_name = "FORM")]
    pub log_format: Option<LogFormat>,
    /// Base URL of an OpenTelemetry collector that takes traces over HTTP, as in
    /// http://127.0.0.1:4318 [default: OTEL_EXPORTER_OTLP_ENDPOINT, else none]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// What they come to.
#[derive(Clone, Debug, Default)]
pub struct ObserveSettings {
    /// Where `/metrics` is read without a signature, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// Where traces go, if anywhere.
    pub otlp_endpoint: Option<String>,
}

impl ObserveSettings {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read.
    pub fn read(resolver: &mut Resolver, flags: &ObserveFlags) -> Result<Self> {
        let standard = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
        let standard = standard.filter(|url| !url.is_empty());
        Ok(Self {
            metrics_listen: resolver.optional("metrics_listen", flags.metrics_listen)?,
            log_format: resolver.value("log_format", flags.log_format, LogFormat::default)?,
            otlp_endpoint: resolver
                .optional("otlp_endpoint", flags.otlp_endpoint.clone())?
                .or(standard),
        })
    }

    /// The same for a process that reads its other settings by itself.
    ///
    /// # Errors
    /// If the file or a value cannot be read.
    pub fn resolve(flags: &ObserveFlags, config: Option<&Path>) -> Result<Self> {
        Self::read(&mut Resolver::open(config)?, flags)
    }
}
