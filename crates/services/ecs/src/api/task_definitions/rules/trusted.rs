//! `trustedExecutionConfiguration`: how a task is kept apart from others on its instance (API
//! reference, `TrustedExecutionConfiguration`). The texts are ours.

use shapes_ecs as shapes;
use shapes_ecs::IsolationMode;

use crate::error::Error;

/// Checks it.
pub(super) fn check(request: &shapes::RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let Some(trusted) = &request.trusted_execution_configuration else { return Ok(()) };
    let policy = trusted.attestation_policy.as_deref().filter(|policy| !policy.is_empty());
    match (trusted.isolation_mode, policy) {
        (IsolationMode::ConfidentialSandbox, None) => Err(Error::client(
            "An attestationPolicy is required when isolationMode is CONFIDENTIAL_SANDBOX.",
        )),
        (IsolationMode::Shared | IsolationMode::IsolatedSandbox, Some(_)) => Err(Error::client(
            "An attestationPolicy is supported only when isolationMode is CONFIDENTIAL_SANDBOX.",
        )),
        _ => Ok(()),
    }
}

/// Whether tasks must have a sandbox of their own. `SHARED` is what every task has.
pub(in super::super) fn is_sandboxed(request: &shapes::RegisterTaskDefinitionRequest) -> bool {
    let trusted = request.trusted_execution_configuration.as_ref();
    trusted.is_some_and(|trusted| trusted.isolation_mode != IsolationMode::Shared)
}
