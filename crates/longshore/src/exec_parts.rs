//! Sessions of ECS Exec, as Systems Manager's operations reach them.

use async_trait::async_trait;
use ecs::Ecs;
use secrets::{CommandSessions, Resumed};
use terms::{AccountId, Region};

/// ECS, as who has the sessions.
pub struct ExecParts(pub Ecs);

#[async_trait]
impl CommandSessions for ExecParts {
    async fn resume(
        &self,
        owner: (&AccountId, &Region),
        session: &str,
        endpoint: &str,
    ) -> Result<Option<Resumed>, String> {
        let resumed = self.0.resume_exec(owner, session, endpoint).await?;
        Ok(resumed.map(|(stream_url, token)| Resumed { stream_url, token }))
    }

    async fn terminate(&self, owner: (&AccountId, &Region), session: &str) {
        self.0.terminate_exec(owner, session).await;
    }
}
