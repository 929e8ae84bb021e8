//! The rows of sessions: made by ExecuteCommand, opened once with each token.

use std::time::Duration;

use agent_protocol::exec::SESSION_ID_PREFIX;
use ledger::{TransactError, Tx};
use sha2::{Digest, Sha256};
use terms::Timestamp;

use super::super::hub::Sessions;
use crate::error::Error;
use crate::model::ExecSession;
use crate::tables::Scope;

/// The key of a session: its id is the last part.
pub(crate) type SessionKey = (Scope, String);

/// The most sessions with one container (ECS semantics §19).
const CONTAINER_SESSIONS_MAX: usize = 1000;

/// The most sessions that an account has in a region; ECS has no such limit.
const SESSIONS_MAX: usize = 10_000;

/// How long a session is kept that nobody opened, or whose end nobody told.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Digits of a session's id, as ECS has them.
const ID_DIGITS: usize = 17;

/// What ExecuteCommand answers of a session.
pub(crate) struct NewSession {
    /// Its id.
    pub(crate) id: String,
    /// What opens it.
    pub(crate) token: String,
}

/// What came of showing a token.
pub(crate) enum Opening {
    /// The session may be opened; whether it had begun before.
    Open { session: Box<ExecSession>, was_begun: bool },
    /// The token is unknown, or was used already.
    Refused,
}

impl Sessions {
    /// Writes a session; `made` has everything but its token.
    ///
    /// # Errors
    /// If there are [`CONTAINER_SESSIONS_MAX`] with the container or [`SESSIONS_MAX`] in all, or the ledger does not take it.
    pub(crate) async fn new_session(
        &self,
        scope: &Scope,
        made: ExecSession,
    ) -> Result<NewSession, Error> {
        let table = self.hub.own_tables.execs;
        let done = self.hub.ledger.transact("begin exec session", |tx| {
            forget_old(tx, table, scope);
            check_room(tx, table, scope, &made)?;
            let digits = hexadecimal(&tx.next_id());
            let id = format!("{SESSION_ID_PREFIX}{}", &digits[..ID_DIGITS]);
            let token = new_token(tx, scope);
            let now = tx.now();
            let row = ExecSession { token: digest(&token), created_at: now, ..made.clone() };
            tx.put(&table, (scope.clone(), id.clone()), row);
            Ok(NewSession { id, token })
        });
        let made = done.await?.value;
        meters::ecs().exec_sessions.inc();
        Ok(made)
    }

    /// A new token for a session, which the one before does not open any more; none if the session
    /// is over.
    ///
    /// # Errors
    /// If the ledger does not take it.
    pub(crate) async fn renew_token(&self, key: &SessionKey) -> Result<Option<String>, Error> {
        let table = self.hub.own_tables.execs;
        let done = self.hub.ledger.transact("resume exec session", |tx| {
            let Some(row) = tx.get(&table, key) else { return Ok::<_, Error>(None) };
            let token = new_token(tx, &key.0);
            let row = ExecSession { token: digest(&token), is_spent: false, ..(*row).clone() };
            tx.put(&table, key.clone(), row);
            Ok(Some(token))
        });
        Ok(done.await?.value)
    }

    /// Uses up a token.
    ///
    /// # Errors
    /// If the ledger does not take it.
    pub(super) async fn spend(&self, key: &SessionKey, token: &str) -> Result<Opening, Error> {
        let table = self.hub.own_tables.execs;
        let shown = digest(token);
        let done = self.hub.ledger.transact("open exec session", |tx| {
            let row = tx.get(&table, key).filter(|row| !row.is_spent && row.token == shown);
            let Some(row) = row else { return Ok::<_, Error>(Opening::Refused) };
            let opened = ExecSession { is_spent: true, is_begun: true, ..(*row).clone() };
            tx.put(&table, key.clone(), opened);
            Ok(Opening::Open { session: Box::new((*row).clone()), was_begun: row.is_begun })
        });
        Ok(done.await?.value)
    }

    /// A session's row, if it is not over.
    pub(super) fn session(&self, key: &SessionKey) -> Option<ledger::Row<ExecSession>> {
        self.hub.ledger.snapshot().get(&self.hub.own_tables.execs, key)
    }

    /// Forgets a session.
    pub(super) async fn forget_session(&self, key: &SessionKey) {
        let table = self.hub.own_tables.execs;
        let done = self.hub.ledger.transact("end exec session", |tx| {
            tx.delete(&table, key);
            Ok::<_, std::convert::Infallible>(())
        });
        if let Err(TransactError::Ledger(error)) = done.await {
            // It is forgotten by its age.
            tracing::debug!(%error, session = key.1, "a session's row is left");
        }
    }
}

/// Refuses a session too many.
fn check_room(
    tx: &mut Tx<'_>,
    table: ledger::Table<SessionKey, ExecSession>,
    scope: &Scope,
    made: &ExecSession,
) -> Result<(), Error> {
    let (mut all, mut of_container) = (0, 0);
    for (_, row) in tx.prefix(&table, scope) {
        all += 1;
        of_container += usize::from(row.task == made.task && row.container == made.container);
    }
    match (all, of_container) {
        (_, CONTAINER_SESSIONS_MAX..) => Err(Error::client(format!(
            "The container has {CONTAINER_SESSIONS_MAX} sessions already, which is the most."
        ))),
        (SESSIONS_MAX.., _) => Err(Error::client(format!(
            "There are {SESSIONS_MAX} sessions already, which is the most there may be."
        ))),
        _ => Ok(()),
    }
}

fn forget_old(tx: &mut Tx<'_>, table: ledger::Table<SessionKey, ExecSession>, scope: &Scope) {
    let now: Timestamp = tx.now();
    let old = tx.prefix(&table, scope).filter(|(_, row)| now.since(row.created_at) > KEPT);
    let old: Vec<SessionKey> = old.map(|(key, _)| key).collect();
    for key in old {
        tx.delete(&table, &key);
    }
}

/// A token says where its session is: who shows it signs nothing.
fn new_token(tx: &mut Tx<'_>, scope: &Scope) -> String {
    let secret = hexadecimal(&[tx.next_id(), tx.next_id()].concat());
    format!("{}.{}.{secret}", scope.account, scope.region)
}

/// Where the session of a token is.
pub(super) fn scope_of(token: &str) -> Option<Scope> {
    let mut parts = token.splitn(3, '.');
    let account = parts.next()?.parse().ok()?;
    let region = parts.next()?.parse().ok()?;
    Some(Scope { account, region })
}

fn digest(token: &str) -> String {
    hexadecimal(&Sha256::digest(token.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
