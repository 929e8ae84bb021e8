//! AWS STS.

use shapes_sts::errors::INVALID_AUTHORIZATION_MESSAGE;
use shapes_sts::operations as ops;
use shapes_sts::operations::{GetAccessKeyInfo, GetCallerIdentity};
use shapes_sts::{
    GetAccessKeyInfoRequest, GetAccessKeyInfoResponse, GetCallerIdentityRequest,
    GetCallerIdentityResponse,
};

use wire::{Context, Service, ServiceError};

use super::{assume, session_tokens, web_identity};
use crate::Iam;
use crate::directory::account_of_key;
use crate::refusal::Refusal;

/// Adds handlers: the operation, then the function that answers it.
macro_rules! operations {
    ($iam:expr, $service:expr, $($operation:ident => $handler:path;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let iam = $iam.clone();
            move |context, input| {
                let iam = iam.clone();
                async move { $handler(&iam, context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

impl Iam {
    /// The operations of AWS IAM that are built.
    pub fn service(&self) -> Service {
        super::iam::service(self)
    }

    /// The operations of AWS STS that are built.
    pub fn sts(&self) -> Service {
        let service = Service::new(&shapes_sts::SERVICE)
            .unsigned("AssumeRoleWithWebIdentity")
            .on::<GetAccessKeyInfo, _, _>(get_access_key_info)
            .on::<GetCallerIdentity, _, _>(get_caller_identity);
        operations! { self, service,
            AssumeRole => assume::assume;
            AssumeRoleWithWebIdentity => web_identity::assume;
            DecodeAuthorizationMessage => decode_authorization_message;
            GetFederationToken => session_tokens::get_federation_token;
            GetSessionToken => session_tokens::get_session_token;
        }
    }
}

/// What a refusal's message says, to who may read it.
async fn decode_authorization_message(
    iam: &Iam,
    context: Context,
    input: shapes_sts::DecodeAuthorizationMessageRequest,
) -> Result<shapes_sts::DecodeAuthorizationMessageResponse, Refusal> {
    let account = context.caller.account.as_str();
    match iam.sessions.decode(account, &input.encoded_message) {
        Some(told) => {
            Ok(shapes_sts::DecodeAuthorizationMessageResponse { decoded_message: Some(told) })
        }
        None => {
            let text = "Message is not valid";
            Err(Refusal::Sts(&INVALID_AUTHORIZATION_MESSAGE, text.to_owned()))
        }
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
