//! The task control channel (ACS): manifest, payloads, stops, credentials, heartbeats
//! (agent-protocol §2).
//!
//! [`Acs`] decides, [`serve`] carries out. The loop is generic over transport and view, so that
//! simulation drives it without sockets.

mod credentials;
mod delivery;
mod heartbeat;
mod machine;
mod outgoing;
mod serve;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use credentials::CredentialsDesk;
pub use credentials::{CredentialsRequest, Minted};
pub(crate) use heartbeat::{Beat, Heartbeats};
pub(crate) use machine::{Acs, AcsStart};
pub(crate) use serve::{Fetcher, Surroundings, Updated, serve};
pub use update::AGENT_PROGRAM_PATH;
