//! AWS STS.

use shapes_sts::operations::{AssumeRole, GetAccessKeyInfo, GetCallerIdentity};
use shapes_sts::{
    GetAccessKeyInfoRequest, GetAccessKeyInfoResponse, GetCallerIdentityRequest,
    GetCallerIdentityResponse,
};

use wire::{Context, Service, ServiceError};

use crate::Iam;
use crate::directory::account_of_key;

impl Iam {
    /// The operations of AWS IAM that are built.
    pub fn service(&self) -> Service {
        super::iam::service(self)
    }

    /// The operations of AWS STS that are built.
    pub fn sts(&self) -> Service {
        Service::new(&shapes_sts::SERVICE)
            .on::<AssumeRole, _, _>({
                let iam = self.clone();
                move |context, input| {
                    let iam = iam.clone();
                    async move {
                        super::assume::assume(&iam, context, input).await.map_err(Into::into)
                    }
                }
            })
            .on::<GetAccessKeyInfo, _, _>(get_access_key_info)
            .on::<GetCallerIdentity, _, _>(get_caller_identity)
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

/// Tells the account of a key, known or not: the id itself tells it.
async fn get_access_key_info(
    _: Context,
    input: GetAccessKeyInfoRequest,
) -> Result<GetAccessKeyInfoResponse, ServiceError> {
    match account_of_key(&input.access_key_id) {
        Some(account) => Ok(GetAccessKeyInfoResponse { account: Some(account) }),
        None => {
            let text = format!("{} tells no account", input.access_key_id);
            Err(ServiceError::new("ValidationError", 400, text))
        }
    }
}
