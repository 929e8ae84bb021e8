//! Several servers over one ledger: one leads, the others are warm (docs/decisions/0019, 0020).
//!
//! - [`LedgerGate`]: which server answers a request.
//! - [`lead`]: what only the leading server does, begun and ended with its leadership.
//!
//! A server that keeps its ledger to itself leads always, and has no gate.
//!
//! **Invariant:** no clock, chance or socket of its own, so that simulation runs it as it is.

mod gate;
mod lead;

pub use gate::LedgerGate;
pub use lead::lead;
