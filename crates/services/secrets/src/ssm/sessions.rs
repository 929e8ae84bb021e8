//! Sessions of ECS Exec, as the session-manager-plugin resumes and ends them: it takes the endpoint
//! of ECS for that of Systems Manager (agent-protocol §7.1).

use std::sync::Arc;

use async_trait::async_trait;
use shapes_ssm as shapes;
use terms::{AccountId, Region};
use wire::Context;

use super::error::Error;
use crate::Secrets;

/// How a session is opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Where.
    pub stream_url: String,
    /// With what; once.
    pub token: String,
}

/// Who has sessions; a service above this one.
#[async_trait]
pub trait CommandSessions: Send + Sync + 'static {
    /// Lets a session be opened again; none if it is over, or never was.
    ///
    /// # Errors
    /// Why that cannot be said now, for people.
    async fn resume(
        &self,
        owner: (&AccountId, &Region),
        session: &str,
        endpoint: &str,
    ) -> Result<Option<Resumed>, String>;

    /// Ends a session; one that is over is success.
    async fn terminate(&self, owner: (&AccountId, &Region), session: &str);
}

impl Secrets {
    /// Says who has sessions. Only the first call counts; without one there are none.
    pub fn ask_for_sessions(&self, sessions: Arc<dyn CommandSessions>) {
        let _ = self.sessions.set(sessions);
    }

    pub(super) async fn resume_session(
        &self,
        context: Context,
        input: shapes::ResumeSessionRequest,
    ) -> Result<shapes::ResumeSessionResponse, Error> {
        let owner = (&context.caller.account, &context.caller.region);
        let resumed = match self.sessions.get() {
            Some(sessions) => {
                let resumed = sessions.resume(owner, &input.session_id, &context.endpoint).await;
                resumed.map_err(Error::Unavailable)?
            }
            None => None,
        };
        // Without a token the plugin says that the session has timed out.
        let (stream_url, token) = resumed.map(|it| (it.stream_url, it.token)).unzip();
        Ok(shapes::ResumeSessionResponse {
            session_id: Some(input.session_id),
            stream_url,
            token_value: token,
        })
    }

    pub(super) async fn terminate_session(
        &self,
        context: Context,
        input: shapes::TerminateSessionRequest,
    ) -> Result<shapes::TerminateSessionResponse, Error> {
        if let Some(sessions) = self.sessions.get() {
            let owner = (&context.caller.account, &context.caller.region);
            sessions.terminate(owner, &input.session_id).await;
        }
        Ok(shapes::TerminateSessionResponse { session_id: Some(input.session_id) })
    }
}
