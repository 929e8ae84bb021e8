//! The project's own DNS answer: where it is given.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Args;
use dns::{Server, Zones};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::settings::Resolver;

/// Flags of all that answer for names.
#[derive(Args, Clone, Debug, Default)]
pub struct NameFlags {
    /// Address and port at which names of load balancers are answered by DNS [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub dns: Option<SocketAddr>,
}

impl NameFlags {
    /// Puts flag, environment and file together.
    ///
    /// # Errors
    /// If the value cannot be read.
    pub fn read(&self, resolver: &mut Resolver) -> Result<Option<SocketAddr>> {
        resolver.optional("dns", self.dns)
    }
}

/// Answers from these zones until `shutdown`, if an address is given; gives where.
///
/// # Errors
/// If the address cannot be had.
pub async fn answer(
    address: Option<SocketAddr>,
    zones: Zones,
    (parts, shutdown): (&mut JoinSet<Result<()>>, &CancellationToken),
) -> Result<Option<SocketAddr>> {
    let Some(address) = address else { return Ok(None) };
    let server = Server::bind(address, zones).await;
    let server = server.with_context(|| format!("answering DNS at --dns {address}"))?;
    let address = server.address();
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "names of load balancers can be asked for from other machines");
    }
    let token = shutdown.clone();
    parts.spawn(async move {
        server.run(token).await;
        Ok(())
    });
    Ok(Some(address))
}
