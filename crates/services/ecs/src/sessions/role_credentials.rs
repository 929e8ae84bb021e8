//! Credentials of tasks' roles: minted by `iam`, under an id of our own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use agent_protocol::acs::RoleType;
use agent_protocol::task::Credentials;
use sha2::{Digest, Sha256};
use terms::{Clock, IdSource, Uuid};

use super::acs::{CredentialsRequest, Minted};

/// Makes the credentials of tasks' roles.
pub trait TaskCredentials: Send + Sync + 'static {
    /// Fresh credentials for one role of a task; the sessions set their credentials id.
    ///
    /// # Errors
    /// Why there are none, for the log; the session asks again with its next heartbeat.
    fn mint(
        &self,
        request: CredentialsRequest,
    ) -> Pin<Box<dyn Future<Output = Result<Minted, String>> + Send + '_>>;
}

/// [`TaskCredentials`] of `iam`: sealed sessions, six hours long, stored nowhere.
pub struct IamCredentials {
    sessions: iam::Sessions,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl IamCredentials {
    /// Mints with `sessions`.
    pub fn new(sessions: iam::Sessions, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        Self { sessions, clock, ids }
    }
}

impl TaskCredentials for IamCredentials {
    fn mint(
        &self,
        request: CredentialsRequest,
    ) -> Pin<Box<dyn Future<Output = Result<Minted, String>> + Send + '_>> {
        let is_execution = request.role == RoleType::TaskExecution;
        let wanted =
            iam::SessionRequest { role_arn: &request.role_arn, task: &request.task, is_execution };
        let session = self.sessions.assume(&wanted, &*self.ids, self.clock.now());
        let credentials = Credentials {
            access_key_id: session.access_key_id,
            secret_access_key: session.secret.expose().to_owned(),
            session_token: session.session_token,
            expiration: session.expires_at.to_string(),
            role_arn: request.role_arn,
            ..Credentials::default()
        };
        let minted = Minted { credentials, expires: session.expires_at };
        Box::pin(std::future::ready(Ok(minted)))
    }
}

/// The id under which a container asks its agent for credentials. It is in the container's
/// environment, so it never changes for a task and role (agent-protocol §2.5); and whoever knows
/// it on that instance gets the credentials, so it follows from a secret of the ledger's.
pub(crate) fn credentials_id(secret: &[u8], request: &CredentialsRequest) -> String {
    let role: &[u8] = match request.role {
        RoleType::TaskApplication => b"application",
        RoleType::TaskExecution => b"execution",
    };
    let digest = Sha256::new()
        .chain_update(secret)
        .chain_update(request.task.to_string())
        .chain_update([0])
        .chain_update(role)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_random(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::task_arn;
    use super::*;

    #[test]
    fn ids_are_constant_and_differ_by_task_role_and_secret() {
        let request = |number, role| CredentialsRequest {
            task: task_arn(number),
            role,
            role_arn: "role".to_owned(),
        };
        let application = request(1, RoleType::TaskApplication);
        let id = credentials_id(b"secret", &application);
        assert_eq!(credentials_id(b"secret", &application), id);
        assert!(id.parse::<Uuid>().is_ok());
        assert_ne!(credentials_id(b"other", &application), id);
        assert_ne!(credentials_id(b"secret", &request(1, RoleType::TaskExecution)), id);
        assert_ne!(credentials_id(b"secret", &request(2, RoleType::TaskApplication)), id);
    }
}
