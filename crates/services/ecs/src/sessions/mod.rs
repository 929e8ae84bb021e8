//! The control plane's side of agents: task control (ACS), telemetry (TCS), and our own node
//! channel with its streams.
//!
//! Written for Amazon's agent from the start (agent-protocol §2, §4, §9, §10); ours speaks the
//! same and the node channel besides.
//!
//! - [`hub`](self::Sessions): who is connected, and the life of a connection.
//! - `routes`, `admission`, `arrivals`, `websocket`: how a connection begins.
//! - `acs`: decides what an agent must be told ([`acs::Acs`], pure) and carries it out.
//! - `payload`: a task as the agent gets it, pure.
//! - `tcs`: health and metrics; `node`, `logs`: streams of output; `exec`: sessions of ECS Exec.
//! - `router`, `mailbox`: from a committed change to the one session that it concerns.
//!
//! **Invariants:** heartbeats, acks, manifests, payloads and metrics never write the ledger.
//! Connection and health write on change only. A disconnected agent's tasks stay as they are. A
//! session holds nothing that cannot be found again from the ledger, but for credentials, which
//! are minted anew.

mod acs;
mod admission;
mod agent_update;
mod arrivals;
pub(crate) mod exec;
mod hub;
mod ledger_view;
mod logs;
mod mailbox;
mod node;
mod pace;
mod payload;
mod presence;
mod registry;
mod role_credentials;
mod router;
mod routes;
mod sequence;
mod tcs;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transport;
mod view;
mod websocket;

pub use acs::{AGENT_PROGRAM_PATH, CredentialsRequest, Minted};
pub use agent_update::AgentPrograms;
pub use arrivals::ArrivalLimits;
pub(crate) use arrivals::TooMany;
pub(crate) use hub::SessionTables;
pub use hub::{Hello, OwnRegistry, SessionSetup, Sessions};
pub use ledger_view::TaskEndpointSetting;
pub use presence::AGENT_AWAY_AFTER;
pub use role_credentials::{IamCredentials, TaskCredentials};
pub use tcs::InstanceTelemetry;
pub use transport::{Close, Gone, Received, Transport};
