//! What the operator says about seeing inside.

use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;

use crate::settings::Resolver;

/// Flags of every role that serves.
#[derive(Args, Clone, Debug, Default)]
pub struct ObserveFlags {
    /// Address and port at which Prometheus reads /metrics, unsigned [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
}

/// What they come to.
#[derive(Clone, Debug, Default)]
pub struct ObserveSettings {
    /// Where `/metrics` is read without a signature, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
}

impl ObserveSettings {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read.
    pub fn read(resolver: &mut Resolver, flags: &ObserveFlags) -> Result<Self> {
        Ok(Self { metrics_listen: resolver.optional("metrics_listen", flags.metrics_listen)? })
    }
}
