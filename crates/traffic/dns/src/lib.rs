//! The project's own DNS answer: takes zones, answers over UDP and TCP.
//!
//! - `zone.rs`: what there is to tell. Who has names keeps a [`Zone`] for each domain of its own and puts
//!   them into [`Zones`], which are swapped whole.
//! - `answer.rs`: a question and its answer, pure.
//! - `server.rs`: sockets.
//!
//! **Invariant:** it answers for its own zones alone; all else is refused, and nobody else is asked.
//! **Absent on purpose:** recursion, transfers of zones, DNSSEC, changes by DNS.

mod answer;
mod server;
mod zone;

pub use server::Server;
pub use zone::{Data, Zone, Zones};
