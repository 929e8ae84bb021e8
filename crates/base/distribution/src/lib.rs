//! OCI distribution, the client's side: how registries are spoken to, by nodes that pull and by the
//! registry that pulls through or replicates.
//!
//! - [`Http`]: HTTPS with whom the system trusts or the operator names, plain HTTP where it is allowed.
//! - [`answer`]: what a registry's challenge is answered with.
//! - [`Remote`]: one repository at one registry, to pull from and to push to.
//!
//! **Invariant:** credentials go to the host that they are for, and to the token service that it
//! names; a redirect to another host goes without them.
//! Digests are checked by whoever keeps what came.

mod challenge;
mod error;
mod http;
mod push;
mod remote;
mod token;
mod trust;

pub use self::http::{Ask, Http, Plain, host_of, is_loopback_host, readable, refused};
pub use challenge::Challenge;
pub use error::ClientError;
pub use remote::{Fetched, Page, Remote, RemoteBlob};
pub use token::{Asker, Auth, answer, challenges};
pub use trust::{Authorities, AuthoritiesError};
