//! Logging in to the registry.

use data_encoding::BASE64;
use shapes_ecr as shapes;
use wire::Context;

use super::scope;
use crate::Inner;
use crate::error::Error;
use crate::registry::{login, registry_url};

impl Inner {
    /// A user and a password for the registry, good for twelve hours.
    pub(super) async fn get_authorization_token(
        &self,
        context: Context,
        input: shapes::GetAuthorizationTokenRequest,
    ) -> Result<shapes::GetAuthorizationTokenResponse, Error> {
        for id in input.registry_ids.iter().flatten() {
            scope(&context, Some(id))?;
        }
        let (password, expires_at) = login(self, &context);
        let data = shapes::AuthorizationData {
            authorization_token: Some(BASE64.encode(format!("AWS:{password}").as_bytes())),
            expires_at: Some(expires_at),
            proxy_endpoint: Some(registry_url(self, &context.endpoint)),
        };
        Ok(shapes::GetAuthorizationTokenResponse { authorization_data: Some(vec![data]) })
    }
}
