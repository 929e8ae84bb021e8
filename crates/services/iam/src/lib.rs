//! Identities, keys and STS: who may sign, and as whom.
//!
//! - Tables ([`Tables`]): long-term access keys, join tokens, the secret that seals sessions.
//! - Keys ([`Iam::administrator`], [`Iam::node_key`]), joining ([`Iam::create_join_token`],
//!   [`Iam::join`]) and the [`wire::Authenticator`] that the edge asks.
//! - Temporary credentials ([`Sessions`]): a task's role, sealed in the session token, stored
//!   nowhere.
//! - Operations ([`Iam::sts`]): `GetCallerIdentity`.
//! - For higher services: [`Sessions::assume`].
//!
//! **Invariant:** a secret leaves this crate only to its owner and to the check of signatures.
//! **Absent on purpose:** users, groups, roles and policies; they come with the roles issue, and
//! until then every key may do everything but what a node's key is bound to.

mod api;
mod authenticator;
mod check;
mod error;
mod join;
mod keys;
mod model;
mod permission;
mod sessions;
mod tables;

use ledger::Ledger;
use terms::AccountId;

pub use error::IamError;
pub use join::{JOIN_TOKEN_LIFE_DEFAULT, TokenSummary, TokenTerms};
pub use keys::KeyPair;
pub use sessions::{SESSION_LIFE, SessionCredentials, SessionRequest, Sessions, TaskLife};
pub use tables::Tables;

/// The room's face: cheap to clone.
#[derive(Clone, Debug)]
pub struct Iam {
    ledger: Ledger,
    tables: Tables,
    account: AccountId,
    sessions: Sessions,
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
        Ok(Self { ledger, tables, account, sessions })
    }

    /// What mints and checks temporary credentials; for higher services.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}
