//! Several servers over one ledger on etcd: one leads, the others are warm.
//!
//! - `settings`: where the ledger is kept, and under which URL other servers reach this one.
//! - `identity`: what all servers have in common, made by the first of them.
//! - `gate`: which server answers a request.
//! - `lead`: what only the leading server does, begun and ended with its leadership.
//!
//! A server that keeps its ledger in its data folder leads always, and has no gate.

mod gate;
mod identity;
mod lead;
mod settings;

pub use gate::LedgerGate;
pub use identity::{Identity, IdentityTable};
pub use lead::lead;
pub use settings::{StoreChoice, StoreFlags, StoreSettings};
