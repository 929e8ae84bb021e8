//! Values that programs need and nobody else may see: the Parameter Store of AWS Systems Manager
//! (`ssm`) and AWS Secrets Manager (`secretsmanager`).
//!
//! - Tables ([`Tables`]): what a parameter or a secret is called and how it is tagged, in the clear;
//!   each version with its value, sealed (`ledger`'s secret tables).
//! - Operations: `ssm/`, `secretsmanager/`, one file a subject.
//! - [`Secrets::run`] takes away what has expired, or whose recovery window has ended.
//!
//! **Invariant:** a value leaves this crate only in the answer to a request for it: no `Debug`, error
//! or log line has one.
//! **Invariant:** what reads writes nothing, so any server may answer it; so nobody is told when a
//! secret was read last.
//! **Absent on purpose:** keys of KMS (their ids are kept and shown), rotation, replicas, and all
//! of Systems Manager that is not the Parameter Store. Its sessions are those of ECS
//! Exec, which another service has ([`CommandSessions`]).

mod hidden;
mod page;
mod peer;
mod random;
mod secretsmanager;
mod ssm;
mod sweep;
mod tables;

use std::fmt;
use std::sync::{Arc, OnceLock};

use iam::Iam;
use ledger::Ledger;
use terms::IdSource;
use tokio_util::sync::CancellationToken;
use wire::Service;

pub use peer::NoText;
pub use ssm::{CommandSessions, Resumed};
pub use tables::{Scope, Tables};

/// Both services. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    ledger: Ledger,
    tables: Tables,
    ids: Arc<dyn IdSource>,
    /// Who is there for policies of secrets to name.
    identities: Option<Iam>,
    /// Who has sessions of ECS Exec, once that is known.
    sessions: Arc<OnceLock<Arc<dyn CommandSessions>>>,
}

impl Secrets {
    /// The services over a ledger that was opened with these tables; passwords are made of `ids`.
    pub fn new(tables: Tables, ledger: Ledger, ids: Arc<dyn IdSource>) -> Self {
        Self { ledger, tables, ids, identities: None, sessions: Arc::default() }
    }

    /// The same with policies of secrets, which name users and roles. Without them, no secret can be
    /// given a policy.
    pub fn with_identities(self, identities: Iam) -> Self {
        Self { identities: Some(identities), ..self }
    }

    /// The operations of Systems Manager that are built: those of the Parameter
    /// Store, and two of sessions.
    pub fn ssm(&self) -> Service {
        ssm::service(self)
    }

    /// The operations of Secrets Manager that are built.
    pub fn secretsmanager(&self) -> Service {
        secretsmanager::service(self)
    }

    /// Deletes what is over, now and then, until `shutdown`. Only the server that leads runs this;
    /// nobody sees what is over from its moment on, whether or not it is deleted.
    pub async fn run(&self, shutdown: CancellationToken) {
        sweep::run(self, shutdown).await;
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}
