//! AWS Certificate Manager: certificates with their keys, for who serves with TLS.
//!
//! - Tables ([`Tables`]): certificates in the clear, their keys sealed (`ledger`'s secret tables).
//! - Operations ([`Certificates::service`]): `api/`.
//! - `peer.rs`: what load balancers read. `reconcile.rs` renews what was issued here, in place
//!   ([`Certificates::run`]).
//!
//! **Invariant:** a key leaves this crate only for those that serve with it (`peer.rs`): no answer,
//! `Debug`, error or log line has one.
//! **Absent on purpose:** proof that a domain is the caller's: an authority that only this
//! installation trusts issues at once. Private authorities of AWS's, and export.

mod api;
mod arn;
mod error;
mod hidden;
mod model;
mod peer;
mod reconcile;
mod tables;

use std::fmt;
use std::sync::Arc;

use ledger::{Ledger, Snapshot, Tx};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;
use wire::Service;

pub use hidden::Hidden;
pub use model::KeyKind;
pub use peer::Served;
pub use tables::{Scope, Tables};

/// What an authority issued, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate alone.
    pub certificate: String,
    /// Those above it, up to what is trusted.
    pub chain: String,
    /// The certificate's key.
    pub key: Hidden<String>,
}

/// Who issues certificates. Implemented by who has an authority's key.
pub trait Issuer: Send + Sync + 'static {
    /// A certificate for these DNS names, the first of them its common name, with a new key.
    ///
    /// # Errors
    /// Why there is none, for people.
    fn issue(&self, names: &[String], key: KeyKind, now: Timestamp) -> Result<Issued, String>;
}

/// Who uses certificates: the ARNs of load balancers. Implemented by who has listeners.
pub trait Users: Send + Sync + 'static {
    /// Those that use a certificate as a transaction sees it.
    fn at(&self, tx: &Tx<'_>, certificate: &str) -> Vec<String>;
    /// Those that use a certificate in a snapshot.
    fn seen(&self, snapshot: &Snapshot, certificate: &str) -> Vec<String>;
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Certificates {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) issuer: Arc<dyn Issuer>,
    pub(crate) users: Arc<dyn Users>,
}

impl Certificates {
    /// The service over a ledger that was opened with these tables.
    pub fn new(
        tables: Tables,
        ledger: Ledger,
        issuer: Arc<dyn Issuer>,
        users: Arc<dyn Users>,
    ) -> Self {
        Self { inner: Arc::new(Inner { ledger, tables, issuer, users }) }
    }

    /// Its operations.
    pub fn service(&self) -> Service {
        api::service(&self.inner)
    }

    /// Renews what was issued here before it ends, until `shutdown`. Only the server that leads
    /// runs this.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.inner.run(shutdown).await;
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}
