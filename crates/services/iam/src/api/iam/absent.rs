//! What people have on AWS and nobody has here: passwords, second factors, keys and certificates of other
//! kinds. Tools that take stock ask for all of it; the answer is that there is none, which is so.

use shapes_iam as shapes;
use wire::{Context, Unit};

use super::{account, root_keys};
use crate::Iam;
use crate::authenticator::ADMINISTRATOR;
use crate::model::Kind;
use crate::refusal::Refusal;

/// The name of the user that is meant, who must be there: the caller's if none is said.
fn of_user(iam: &Iam, context: &Context, named: Option<String>) -> Result<String, Refusal> {
    if root_keys::are_meant(context, named.as_deref()) {
        return Ok(ADMINISTRATOR.to_owned());
    }
    let name = iam.meant(context, named)?;
    let user = iam.entity(&iam.ledger.snapshot(), account(context), Kind::User, &name)?;
    Ok(user.name)
}

pub(super) async fn password(
    iam: &Iam,
    context: Context,
    input: shapes::GetLoginProfileRequest,
) -> Result<shapes::GetLoginProfileResponse, Refusal> {
    let name = of_user(iam, &context, input.user_name)?;
    Err(Refusal::Missing(format!("Login Profile for User {name} cannot be found.")))
}

pub(super) async fn password_policy(
    _: &Iam,
    context: Context,
    _: Unit,
) -> Result<shapes::GetAccountPasswordPolicyResponse, Refusal> {
    let account = account(&context);
    let text = format!("The Password Policy with domain name {account} cannot be found.");
    Err(Refusal::Missing(text))
}

pub(super) async fn aliases(
    _: &Iam,
    _: Context,
    _: shapes::ListAccountAliasesRequest,
) -> Result<shapes::ListAccountAliasesResponse, Refusal> {
    let account_aliases = Vec::new();
    Ok(shapes::ListAccountAliasesResponse {
        account_aliases,
        is_truncated: Some(false),
        marker: None,
    })
}

pub(super) async fn factors(
    iam: &Iam,
    context: Context,
    input: shapes::ListMFADevicesRequest,
) -> Result<shapes::ListMFADevicesResponse, Refusal> {
    of_user(iam, &context, input.user_name)?;
    let mfa_devices = Vec::new();
    Ok(shapes::ListMFADevicesResponse { mfa_devices, is_truncated: Some(false), marker: None })
}

pub(super) async fn virtual_factors(
    _: &Iam,
    _: Context,
    _: shapes::ListVirtualMFADevicesRequest,
) -> Result<shapes::ListVirtualMFADevicesResponse, Refusal> {
    let virtual_mfa_devices = Vec::new();
    Ok(shapes::ListVirtualMFADevicesResponse {
        virtual_mfa_devices,
        is_truncated: Some(false),
        marker: None,
    })
}

pub(super) async fn ssh_keys(
    iam: &Iam,
    context: Context,
    input: shapes::ListSSHPublicKeysRequest,
) -> Result<shapes::ListSSHPublicKeysResponse, Refusal> {
    of_user(iam, &context, input.user_name)?;
    let ssh_public_keys = Some(Vec::new());
    Ok(shapes::ListSSHPublicKeysResponse {
        ssh_public_keys,
        is_truncated: Some(false),
        marker: None,
    })
}

pub(super) async fn signing_certificates(
    iam: &Iam,
    context: Context,
    input: shapes::ListSigningCertificatesRequest,
) -> Result<shapes::ListSigningCertificatesResponse, Refusal> {
    of_user(iam, &context, input.user_name)?;
    let certificates = Vec::new();
    Ok(shapes::ListSigningCertificatesResponse {
        certificates,
        is_truncated: Some(false),
        marker: None,
    })
}

pub(super) async fn service_credentials(
    iam: &Iam,
    context: Context,
    input: shapes::ListServiceSpecificCredentialsRequest,
) -> Result<shapes::ListServiceSpecificCredentialsResponse, Refusal> {
    of_user(iam, &context, input.user_name)?;
    let service_specific_credentials = Some(Vec::new());
    Ok(shapes::ListServiceSpecificCredentialsResponse {
        service_specific_credentials,
        is_truncated: Some(false),
        marker: None,
    })
}

pub(super) async fn server_certificates(
    _: &Iam,
    _: Context,
    _: shapes::ListServerCertificatesRequest,
) -> Result<shapes::ListServerCertificatesResponse, Refusal> {
    let server_certificate_metadata_list = Vec::new();
    Ok(shapes::ListServerCertificatesResponse {
        server_certificate_metadata_list,
        is_truncated: Some(false),
        marker: None,
    })
}

pub(super) async fn saml_providers(
    _: &Iam,
    _: Context,
    _: shapes::ListSAMLProvidersRequest,
) -> Result<shapes::ListSAMLProvidersResponse, Refusal> {
    Ok(shapes::ListSAMLProvidersResponse { saml_provider_list: Some(Vec::new()) })
}
