//! Several servers over one ledger on etcd: one leads, the others are warm.
//!
//! - `recovery`: a new key for the administrator, which the leading server makes for any.
//! - `servers`: who they are, and what one asks another.
//! - `settings`: where the ledger is kept, and under which URL other servers reach this one.
//! - `identity`: what all servers have in common, made by the first of them; `settled`: how the others
//!   wait for it.
//!
//! Which of them answers, and what only the leader does, is in the crate `ensemble`.

mod identity;
mod recovery;
mod servers;
mod settings;
mod settled;

pub use identity::{Identity, IdentityTable};
pub use recovery::route as recovery_route;
pub use servers::{Asking, NotForgotten, Servers, ServersTable, bare};
pub use settings::{StoreChoice, StoreFlags, StoreSettings};
pub use settled::settled;
