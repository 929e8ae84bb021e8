//! Our own certificates: the authority, what it issues, and the folder that `longshore init` keeps.
//!
//! Keys are ECDSA P-256, made here and written for their owner's eyes only. An agent's key never
//! leaves its machine: it sends a request, and the server that holds the authority's key signs it.

mod authority;
mod folder;
mod node;
mod upkeep;

pub use authority::{Authority, Owner};
pub use folder::{
    AUTHORITY, AUTHORITY_KEY, ETCD_CLIENT, ETCD_CLIENT_KEY, Made, SECRETS_KEY, SERVER, SERVER_KEY,
    TlsFolder, write_secrets_key,
};
pub use node::{NodeFiles, signing_request};
pub use upkeep::{issue_while, renew_while};
