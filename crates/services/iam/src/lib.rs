//! Identities, keys and STS: who may sign, and as whom.
//!
//! - Tables ([`Tables`]): long-term access keys, join tokens, the secret that seals sessions.
//! - Keys ([`Iam::administrator`], [`Iam::node_key`]), joining ([`Iam::create_join_token`],
//!   [`Iam::join`]) and the [`wire::Authenticator`] that the edge asks.
//! - Temporary credentials ([`Sessions`]): a task's role, sealed in the session token, stored
//!   nowhere.
//! - Users, groups, roles and policies: operations in `api/iam/` ([`Iam::service`]); STS in
//!   `api/sts.rs` and its neighbours ([`Iam::sts`]); tokens of identity providers in `oidc/`.
//! - Whether a call is allowed: `authorize/`, asked by the edge with the input.
//! - For higher services: [`Sessions::assume`]; [`Iam::policy_to_keep`] for policies of their
//!   resources, which [`Resources`] then tells to decisions.
//!
//! **Invariant:** a secret leaves this crate only to its owner and to the check of signatures.
//! **Invariant:** users, and sessions of roles, may do what policies say (`authorize/`), and nothing
//! else. The administrator may do everything, a node what is listed.
//! **Absent on purpose:** passwords, MFA, SAML, server certificates, organisations.

mod api;
mod authenticator;
mod authorize;
mod check;
mod compiled;
mod denial;
mod directory;
mod error;
mod explaining;
mod join;
mod keys;
mod managed;
mod model;
mod oidc;
mod permission;
mod principals;
mod refusal;
mod sessions;
mod tables;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use ledger::Ledger;
use parking_lot::Mutex;
use terms::AccountId;

pub use authorize::{Resources, RoleOfTask};
pub use error::IamError;
pub use explaining::Question;
pub use join::{JOIN_TOKEN_LIFE_DEFAULT, TokenSummary, TokenTerms};
pub use keys::KeyPair;
pub use principals::{KeptPolicy, UnfitPolicy};
pub use sessions::{SESSION_LIFE, SessionCredentials, SessionRequest, Sessions, TaskLife};
pub use tables::Tables;

/// The room's face: cheap to clone.
#[derive(Clone)]
pub struct Iam {
    ledger: Ledger,
    tables: Tables,
    account: AccountId,
    sessions: Sessions,
    cache: compiled::Cache,
    of_resources: compiled::OfResources,
    issuers: oidc::Issuers,
    resources: Arc<OnceLock<Arc<dyn Resources>>>,
    /// Roles without a record that were warned of.
    warned: Arc<Mutex<BTreeSet<String>>>,
    opens_unknown_roles: Arc<AtomicBool>,
}

impl std::fmt::Debug for Iam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Iam(…)")
    }
}

impl Iam {
    /// The identities of the home account, with the secret that seals sessions made on first use.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub async fn open(
        ledger: Ledger,
        tables: Tables,
        account: AccountId,
    ) -> Result<Self, IamError> {
        let sessions = Sessions::open(&ledger, &tables).await?;
        Ok(Self {
            issuers: oidc::Issuers::new(Arc::clone(ledger.clock())),
            ledger,
            tables,
            account,
            sessions,
            cache: compiled::Cache::default(),
            of_resources: Arc::default(),
            resources: Arc::default(),
            warned: Arc::default(),
            opens_unknown_roles: Arc::default(),
        })
    }

    /// Lets decisions know the resources of other services, on all clones.
    pub fn know_resources(&self, resources: Arc<dyn Resources>) {
        _ = self.resources.set(resources);
    }

    pub(crate) async fn grant(
        &self,
        granted: sessions::Granted,
    ) -> Result<SessionCredentials, refusal::Refusal> {
        Ok(self.sessions.grant(granted, self.random().await?))
    }

    /// What makes one session another than all others.
    pub(crate) async fn random(&self) -> Result<[u8; 16], refusal::Refusal> {
        // Nothing is written: ids come from transactions alone.
        let random =
            self.ledger.transact("iam: session", |tx| Ok::<_, refusal::Refusal>(tx.next_id()));
        Ok(random.await?.value)
    }

    /// What mints and checks temporary credentials; for higher services.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}
