//! What the operator says about seeing inside.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

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
    /// Which share of all traces is sent, from 0 to 1; the same ones by servers and agents, for the
    /// task's id decides [default: OTEL_TRACES_SAMPLER_ARG, else 1]
    #[arg(long, value_name = "SHARE")]
    pub trace_sample: Option<Share>,
}

/// A share of traces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Default for Share {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Share {
    /// Whether a trace is among them. A trace that is sent at some share is sent at each larger one
    /// (OpenTelemetry's `TraceIdRatioBased`).
    pub fn takes(self, trace: [u8; 16]) -> bool {
        let low = u64::from_be_bytes(*trace.last_chunk().expect("8 of 16 bytes"));
        // The 53 bits that a float holds without rounding, so that 1 takes all.
        #[allow(clippy::cast_precision_loss)]
        let at = (low >> 11) as f64 / (1_u64 << 53) as f64;
        at < self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| format!("'{text}' is no share: a number from 0 to 1"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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
    /// Which share of them.
    pub trace_sample: Share,
}

impl ObserveSettings {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read.
    pub fn read(resolver: &mut Resolver, flags: &ObserveFlags) -> Result<Self> {
        let standard = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
        let standard = standard.filter(|url| !url.is_empty());
        let share = std::env::var("OTEL_TRACES_SAMPLER_ARG").ok();
        let share = share.and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok(Self {
            metrics_listen: resolver.optional("metrics_listen", flags.metrics_listen)?,
            log_format: resolver.value("log_format", flags.log_format, LogFormat::default)?,
            otlp_endpoint: resolver
                .optional("otlp_endpoint", flags.otlp_endpoint.clone())?
                .or(standard),
            trace_sample: resolver.value("trace_sample", flags.trace_sample, || share)?,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_traces_and_grows_with_itself() {
        let traces: Vec<[u8; 16]> = (0..=255).map(|last| [last; 16]).collect();
        let taken = |share: &str| -> Vec<_> {
            let share: Share = share.parse().unwrap();
            traces.iter().filter(|trace| share.takes(**trace)).collect()
        };
        assert_eq!(taken("1").len(), 256);
        assert_eq!(taken("0"), Vec::<&[u8; 16]>::new());
        let (quarter, half) = (taken("0.25"), taken("0.5"));
        assert_eq!((quarter.len(), half.len()), (64, 128));
        assert!(quarter.iter().all(|trace| half.contains(trace)));
        for wrong in ["", "-0.1", "1.1", "NaN", "all", "10%"] {
            assert!(wrong.parse::<Share>().unwrap_err().contains("from 0 to 1"), "{wrong}");
        }
    }
}
