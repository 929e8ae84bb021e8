//! Amazon Elastic Container Registry: repositories and images, and the registry that clients push to
//! and pull from (OCI distribution 1.1).
//!
//! - Tables ([`Tables`]): repositories, images, tags, which blobs a repository has, settings. Bytes are
//!   in a [`Depot`], each once, whatever repositories have them.
//! - Operations ([`Ecr::service`]): `api/`. The registry ([`Ecr::routes`]): `registry/`, under `/v2`.
//! - [`Ecr::run`] applies lifecycle policies and takes away what nobody names.
//!
//! **Invariant:** before any byte of a blob is answered, its repository's rows say that it has it.
//! **Invariant:** what an image names is in its repository: both are checked in the transaction that
//! writes the image, and nothing that an image names is taken away.
//! **Absent on purpose:** conversion between types of manifests (it would change digests), keys of KMS
//! (their ids are kept and shown), schema 1 of Docker's manifests.

mod api;
mod decide;
mod depot;
mod error;
mod expiry;
mod model;
mod pulls;
mod push;
mod reconcile;
mod registry;
mod sealed;
mod tables;

use std::fmt;
use std::sync::Arc;

use ledger::{Ledger, LedgerError};
use terms::IdSource;
use tokio_util::sync::CancellationToken;
use wire::{Auditor, Authenticator, Route, Service};

pub use depot::Depot;
pub use registry::Challenge;
pub use tables::{Scope, Tables};

use sealed::Seal;

/// What the service stands on.
pub struct EcrSetup {
    /// Who knows keys, and what their owners may do.
    pub authenticator: Arc<dyn Authenticator>,
    /// Who is told of each thing that the registry's clients do.
    pub auditor: Option<Arc<dyn Auditor>>,
    /// Where ids come from.
    pub ids: Arc<dyn IdSource>,
    /// The registry of who logs in with an access key instead of a token.
    pub home: Scope,
    /// Whether anyone may do anything.
    pub is_open: bool,
    /// Where bytes are kept; without one, the registry refuses everything and says why.
    pub depot: Option<Depot>,
    /// What images are named by, as `registry.example:443`; the address that the client called if
    /// there is none.
    pub host: Option<String>,
    /// What clients that have not logged in are asked for.
    pub challenge: Challenge,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Ecr {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) seal: Seal,
    pub(crate) setup: EcrSetup,
    pub(crate) transfers: tokio::sync::Semaphore,
}

/// Blobs that are on their way in or out at once; more are told to come back.
const TRANSFERS_MAX: usize = 512;

impl Ecr {
    /// The service over a ledger that was opened with these tables.
    ///
    /// # Errors
    /// If the secret that seals tokens cannot be made at the first start.
    pub async fn open(
        tables: Tables,
        ledger: Ledger,
        setup: EcrSetup,
    ) -> Result<Self, LedgerError> {
        let seal = Seal::open(&ledger, &tables).await?;
        let transfers = tokio::sync::Semaphore::new(TRANSFERS_MAX);
        Ok(Self { inner: Arc::new(Inner { ledger, tables, seal, setup, transfers }) })
    }

    /// Its operations.
    pub fn service(&self) -> Service {
        api::service(&self.inner)
    }

    /// The registry's paths.
    pub fn routes(&self) -> Vec<Route> {
        registry::routes(&self.inner)
    }

    /// Applies lifecycle policies and collects what nobody names, until `shutdown`. Only the server
    /// that leads runs this.
    pub async fn run(&self, shutdown: CancellationToken) {
        reconcile::run(&self.inner, shutdown).await;
    }

    /// One round of what [`Ecr::run`] does now and then.
    pub async fn sweep(&self) {
        reconcile::sweep(&self.inner).await;
    }
}

impl fmt::Debug for Ecr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ecr(…)")
    }
}
