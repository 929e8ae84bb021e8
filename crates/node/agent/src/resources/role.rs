//! Calls with a task's execution role, tried again while that may help.

use std::time::Duration;

use agent_protocol::task::Credentials;
use serde_json::Value;

use crate::transport::{CallError, ObjectQuery, RoleCall, Transport};

/// How often a call is tried again.
const RETRIES: u32 = 6;
/// The wait before the first retry; each further one is twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(250);

/// Calls in the name of a role, or of the instance if the task has none.
pub(super) struct Role<'a> {
    transport: &'a dyn Transport,
    credentials: Option<Credentials>,
}

/// Whether the same call may succeed a moment later.
fn is_passing(error: &CallError) -> bool {
    match error {
        CallError::Transport(_) => true,
        CallError::Service { code, .. } => {
            code.contains("Throttl")
                || matches!(
                    code.as_str(),
                    "ServerException"
                        | "InternalFailure"
                        | "InternalServerError"
                        | "InternalServiceError"
                        | "ServiceUnavailable"
                        | "SlowDown"
                )
        }
    }
}

impl<'a> Role<'a> {
    pub(super) fn new(transport: &'a dyn Transport, credentials: Option<Credentials>) -> Self {
        Self { transport, credentials }
    }

    /// The answer of another endpoint than the control plane, as [`Self::call`].
    pub(super) async fn call_at(
        &self,
        endpoint: &str,
        region: &str,
        (service, target): (&'static str, &'static str),
        input: &Value,
    ) -> Result<Value, CallError> {
        let (credentials, endpoint) = (self.credentials.as_ref(), Some(endpoint));
        let call = RoleCall { credentials, endpoint, region, service, target, input };
        again(|| self.transport.call_as(call)).await
    }

    /// The answer to a call; `target` is as in `AmazonSSM.GetParameters`.
    pub(super) async fn call(
        &self,
        region: &str,
        (service, target): (&'static str, &'static str),
        input: &Value,
    ) -> Result<Value, CallError> {
        let credentials = self.credentials.as_ref();
        let call = RoleCall { credentials, endpoint: None, region, service, target, input };
        again(|| self.transport.call_as(call)).await
    }

    /// An object.
    pub(super) async fn object(
        &self,
        region: &str,
        (bucket, key): (&str, &str),
        max_bytes: usize,
    ) -> Result<Vec<u8>, CallError> {
        let no_role = || CallError::Transport("the task has no execution role".to_owned());
        let credentials = self.credentials.as_ref().ok_or_else(no_role)?;
        again(|| self.transport.object(ObjectQuery { credentials, region, bucket, key, max_bytes }))
            .await
    }
}

async fn again<T, F>(call: impl Fn() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut wait = WAIT_FIRST;
    for _ in 0..RETRIES {
        match call().await {
            Err(error) if is_passing(&error) => {}
            ended => return ended,
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    call().await.map_err(|error| match error {
        CallError::Transport(text) => {
            CallError::Transport(format!("service call has been retried {RETRIES} time(s): {text}"))
        }
        error => error,
    })
}
