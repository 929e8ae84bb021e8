//! Amazon Elastic Container Registry: repositories and images, and the registry that clients push to
//! and pull from (OCI distribution 1.1).
//!
//! - Tables ([`Tables`]): repositories, images, tags, which blobs a repository has, settings. Bytes are
//!   in a [`Depot`], a folder or a bucket, each once, whatever repositories have them.
//! - Operations ([`Ecr::service`]): `api/`. The registry ([`Ecr::routes`]): `registry/`, under `/v2`.
//! - `upstream/`: what comes through from other registries by pull-through cache rules. `replication/`:
//!   what goes to others. `scanning/`: what packages images have, and what is known to be wrong with them.
//! - [`Ecr::run`] applies lifecycle policies, takes away what nobody names, replicates, and scans.
//!
//! **Invariant:** before any byte of a blob is answered, its repository's rows say that it has it; or a
//! rule says that it comes through, and its registry has just begun to send it for that repository.
//! **Invariant:** what an image names is in its repository: both are checked in the transaction that
//! writes the image, and nothing that an image names is taken away.
//! **Absent on purpose:** conversion between types of manifests (it would change digests), keys of KMS
//! (their ids are kept and shown), schema 1 of Docker's manifests.

mod api;
mod creation;
mod decide;
mod depot;
mod error;
mod event_source;
mod expiry;
mod model;
mod peer;
mod pulls;
mod push;
mod reconcile;
mod registry;
mod replication;
mod scanning;
mod sealed;
mod tables;
mod upstream;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use distribution::Http;
use iam::Iam;
use ledger::Ledger;
use secrets::Secrets;
use terms::IdSource;
use tokio_util::sync::CancellationToken;
use wire::{Auditor, Authenticator, Route, Service};

pub use depot::{Depot, InBucket, Misplaced};
pub use registry::Challenge;
pub use replication::Destination;
pub use sealed::Seal;
pub use tables::{Scope, Tables};

use scanning::Source;
use upstream::Upstreams;

/// What the service stands on.
pub struct EcrSetup {
    /// Who knows keys, and what their owners may do.
    pub authenticator: Arc<dyn Authenticator>,
    /// Who is there for policies of repositories to name; without it, policies are kept as they are put.
    pub identities: Option<Iam>,
    /// Who is told of each thing that the registry's clients do.
    pub auditor: Option<Arc<dyn Auditor>>,
    /// Where ids come from.
    pub ids: Arc<dyn IdSource>,
    /// The registry of who logs in with an access key instead of a token.
    pub home: Scope,
    /// Whether anyone may do anything.
    pub is_open: bool,
    /// Where bytes are kept; without one, the registry refuses everything and says why. Servers that
    /// share a ledger share a bucket ([`Depot::in_bucket`]).
    pub depot: Option<Depot>,
    /// What images are named by, as `registry.example:443`; the address that the client called if
    /// there is none.
    pub host: Option<String>,
    /// What clients that have not logged in are asked for.
    pub challenge: Challenge,
    /// Where credentials of registries that pulls go through to are.
    pub secrets: Secrets,
    /// How other registries are spoken to.
    pub client: Arc<Http>,
    /// The registries that images can be replicated to.
    pub destinations: Vec<Destination>,
    /// Advisories in OSV's form that images are scanned for: a folder of JSON and zips, or a zip.
    pub advisories: Option<PathBuf>,
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
    pub(crate) upstreams: Upstreams,
    pub(crate) advisories: Source,
    pub(crate) readings: tokio::sync::Semaphore,
}

/// Blobs that are on their way in or out at once; more are told to come back.
const TRANSFERS_MAX: usize = 512;
/// Files of findings that are read at once, of some 10 MB each at most; more wait.
const READINGS_MAX: usize = 2;

impl Inner {
    /// Blobs that are on their way in or out now.
    pub(crate) fn transfers_under_way(&self) -> usize {
        TRANSFERS_MAX.saturating_sub(self.transfers.available_permits())
    }
}

impl Ecr {
    /// The service over a ledger that was opened with these tables.
    pub fn new(seal: Seal, tables: Tables, ledger: Ledger, setup: EcrSetup) -> Self {
        let transfers = tokio::sync::Semaphore::new(TRANSFERS_MAX);
        let upstreams = Upstreams::new(Arc::clone(&setup.client));
        let advisories = Source::new(setup.advisories.clone());
        let readings = tokio::sync::Semaphore::new(READINGS_MAX);
        let inner =
            Inner { ledger, tables, seal, setup, transfers, upstreams, advisories, readings };
        Self { inner: Arc::new(inner) }
    }

    /// Its operations.
    pub fn service(&self) -> Service {
        api::service(&self.inner)
    }

    /// The registry's paths.
    pub fn routes(&self) -> Vec<Route> {
        registry::routes(&self.inner)
    }

    /// Applies lifecycle policies, collects what nobody names, replicates what was pushed, and scans what
    /// is to be scanned, until `shutdown`. Only the server that leads runs this.
    pub async fn run(&self, shutdown: CancellationToken) {
        tokio::join!(
            reconcile::run(&self.inner, shutdown.clone()),
            replication::run(&self.inner, shutdown.clone()),
            scanning::run(&self.inner, shutdown),
        );
    }

    /// Tries once to replicate what is to be replicated by now.
    pub async fn replicate(&self) {
        replication::round(&self.inner).await;
    }

    /// Scans what is to be scanned by now.
    pub async fn scan(&self) {
        scanning::once(&self.inner).await;
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
