//! How much the server takes at once: what the operator says about it.

use anyhow::{Result, bail};
use clap::Args;
use ecs::ArrivalLimits;
use wire::{EdgeLimits, SeatLimits};

use crate::settings::Resolver;

/// Flags of `up` and `server`.
#[derive(Args, Clone, Debug, Default)]
pub struct LimitFlags {
    /// Client connections at once [default: 16384]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// API requests worked on at once; as many of agents [default: 256]
    #[arg(long, value_name = "N")]
    pub max_requests: Option<usize>,
    /// Agents let in a second when many come at once [default: 500]
    #[arg(long, value_name = "N")]
    pub agent_admissions: Option<u32>,
}

/// What they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// Of the edge.
    pub edge: EdgeLimits,
    /// Of agents that come.
    pub arrivals: ArrivalLimits,
}

impl LimitSettings {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read, or would let nobody in.
    pub fn read(resolver: &mut Resolver, flags: &LimitFlags) -> Result<Self> {
        let (edge, arrivals) = (EdgeLimits::default(), ArrivalLimits::default());
        let connections =
            resolver.value("max_connections", flags.max_connections, || edge.connections)?;
        let seats = resolver.value("max_requests", flags.max_requests, || edge.api.seats)?;
        let per_second =
            resolver.value("agent_admissions", flags.agent_admissions, || arrivals.per_second)?;
        if connections == 0 || seats == 0 || per_second == 0 {
            bail!("max_connections, max_requests and agent_admissions must be 1 or more");
        }
        // No client may have all of them, or others would wait for it.
        let of_client = |seats: usize| (seats * 3).div_ceil(4);
        let class = |class| SeatLimits { seats, seats_per_client: of_client(seats), ..class };
        let edge = EdgeLimits {
            connections,
            connections_per_peer: connections.div_ceil(2),
            api: class(edge.api),
            agents: class(edge.agents),
            ..edge
        };
        let arrivals = ArrivalLimits { per_second, burst: per_second, ..arrivals };
        Ok(Self { edge, arrivals })
    }
}
