//! AWS STS.

use shapes_sts::operations::GetCallerIdentity;
use shapes_sts::{GetCallerIdentityRequest, GetCallerIdentityResponse};
use wire::{Context, Service, ServiceError};

use crate::Iam;

impl Iam {
    /// The operations of AWS STS that are built.
    pub fn sts(&self) -> Service {
        Service::new(&shapes_sts::SERVICE).on::<GetCallerIdentity, _, _>(get_caller_identity)
    }
}

/// Tells who calls. Needs no permission (STS API reference, GetCallerIdentity).
async fn get_caller_identity(
    context: Context,
    _: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, ServiceError> {
    Ok(GetCallerIdentityResponse {
        user_id: Some(context.caller.user_id.clone()),
        account: Some(context.caller.account.to_string()),
        arn: Some(context.caller.arn.clone()),
    })
}
