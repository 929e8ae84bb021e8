//! The operations of IAM, each with its handler.

mod absent;
mod boundaries;
mod explain;
mod groups;
mod inline;
mod keys;
mod linked;
mod managed;
mod paging;
mod policies;
mod profiles;
mod providers;
mod reports;
mod roles;
mod root_keys;
pub(crate) mod rules;
mod show;
mod simulate;
mod tags;
mod users;
mod versions;

use shapes_iam::operations as ops;
use terms::AccountId;
use wire::{Context, Service, ServiceError};

use crate::Iam;

/// Adds handlers: the operation, then the function that answers it.
macro_rules! operations {
    ($iam:ident, $service:expr, $($operation:ident => $handler:path;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let iam = $iam.clone();
            move |context, input| {
                let iam = iam.clone();
                async move { $handler(&iam, context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(iam: &Iam) -> Service {
    let service = entities(iam, Service::new(&shapes_iam::SERVICE).explain(explain::explain));
    of_absent(iam, others(iam, of_policies(iam, service)))
}

fn entities(iam: &Iam, service: Service) -> Service {
    operations! { iam, service,
        AddUserToGroup => groups::add;
        CreateAccessKey => keys::create;
        CreateGroup => groups::create;
        CreateRole => roles::create;
        CreateServiceLinkedRole => linked::create;
        CreateUser => users::create;
        DeleteAccessKey => keys::delete;
        DeleteGroup => groups::delete;
        DeleteRole => roles::delete;
        DeleteServiceLinkedRole => linked::delete;
        DeleteUser => users::delete;
        GetGroup => groups::get;
        GetRole => roles::get;
        GetServiceLinkedRoleDeletionStatus => linked::deletion;
        GetUser => users::get;
        ListAccessKeys => keys::list;
        ListGroups => groups::list;
        ListGroupsForUser => groups::of_user;
        ListRoles => roles::list;
        ListRoleTags => tags::of_role;
        ListUsers => users::list;
        ListUserTags => tags::of_user;
        RemoveUserFromGroup => groups::remove;
        TagRole => tags::tag_role;
        TagUser => tags::tag_user;
        UntagRole => tags::untag_role;
        UntagUser => tags::untag_user;
        UpdateAccessKey => keys::update;
        UpdateAssumeRolePolicy => roles::update_trust;
        UpdateGroup => groups::update;
        UpdateRole => roles::update;
        UpdateRoleDescription => roles::update_description;
        UpdateUser => users::update;
    }
}

fn of_policies(iam: &Iam, service: Service) -> Service {
    operations! { iam, service,
        AttachGroupPolicy => managed::attach_to_group;
        AttachRolePolicy => managed::attach_to_role;
        AttachUserPolicy => managed::attach_to_user;
        CreatePolicy => policies::create;
        CreatePolicyVersion => versions::create;
        DeleteGroupPolicy => inline::delete_of_group;
        DeletePolicy => policies::delete;
        DeletePolicyVersion => versions::delete;
        DeleteRolePermissionsBoundary => boundaries::delete_of_role;
        DeleteRolePolicy => inline::delete_of_role;
        DeleteUserPermissionsBoundary => boundaries::delete_of_user;
        DeleteUserPolicy => inline::delete_of_user;
        DetachGroupPolicy => managed::detach_from_group;
        DetachRolePolicy => managed::detach_from_role;
        DetachUserPolicy => managed::detach_from_user;
        GetGroupPolicy => inline::get_of_group;
        GetPolicy => policies::get;
        GetPolicyVersion => versions::get;
        GetRolePolicy => inline::get_of_role;
        GetUserPolicy => inline::get_of_user;
        ListAttachedGroupPolicies => managed::of_group;
        ListAttachedRolePolicies => managed::of_role;
        ListAttachedUserPolicies => managed::of_user;
        ListEntitiesForPolicy => managed::entities;
        ListGroupPolicies => inline::list_of_group;
        ListPolicies => policies::list;
        ListPolicyTags => policies::tags;
        ListPolicyVersions => versions::list;
        ListRolePolicies => inline::list_of_role;
        ListUserPolicies => inline::list_of_user;
        PutGroupPolicy => inline::put_to_group;
        PutRolePermissionsBoundary => boundaries::put_to_role;
        PutRolePolicy => inline::put_to_role;
        PutUserPermissionsBoundary => boundaries::put_to_user;
        PutUserPolicy => inline::put_to_user;
        SetDefaultPolicyVersion => versions::set_default;
        TagPolicy => policies::tag;
        UntagPolicy => policies::untag;
    }
}

fn others(iam: &Iam, service: Service) -> Service {
    operations! { iam, service,
        AddClientIDToOpenIDConnectProvider => providers::add_client;
        AddRoleToInstanceProfile => profiles::add_role;
        CreateInstanceProfile => profiles::create;
        CreateOpenIDConnectProvider => providers::create;
        DeleteInstanceProfile => profiles::delete;
        DeleteOpenIDConnectProvider => providers::delete;
        GetAccountAuthorizationDetails => reports::details;
        GetAccountSummary => reports::summary;
        GetContextKeysForCustomPolicy => simulate::keys_of_custom;
        GetContextKeysForPrincipalPolicy => simulate::keys_of_principal;
        GetInstanceProfile => profiles::get;
        GetOpenIDConnectProvider => providers::get;
        ListInstanceProfiles => profiles::list;
        ListInstanceProfilesForRole => profiles::of_role;
        ListInstanceProfileTags => profiles::tags;
        ListOpenIDConnectProviders => providers::list;
        ListOpenIDConnectProviderTags => providers::tags;
        RemoveClientIDFromOpenIDConnectProvider => providers::remove_client;
        RemoveRoleFromInstanceProfile => profiles::remove_role;
        SimulateCustomPolicy => simulate::custom;
        SimulatePrincipalPolicy => simulate::principal;
        TagInstanceProfile => profiles::tag;
        TagOpenIDConnectProvider => providers::tag;
        UntagInstanceProfile => profiles::untag;
        UntagOpenIDConnectProvider => providers::untag;
        UpdateOpenIDConnectProviderThumbprint => providers::update_thumbprints;
    }
}

fn of_absent(iam: &Iam, service: Service) -> Service {
    operations! { iam, service,
        GetAccountPasswordPolicy => absent::password_policy;
        GetLoginProfile => absent::password;
        ListAccountAliases => absent::aliases;
        ListMFADevices => absent::factors;
        ListSAMLProviders => absent::saml_providers;
        ListServerCertificates => absent::server_certificates;
        ListServiceSpecificCredentials => absent::service_credentials;
        ListSigningCertificates => absent::signing_certificates;
        ListSSHPublicKeys => absent::ssh_keys;
        ListVirtualMFADevices => absent::virtual_factors;
    }
}

/// The account that a request is about: the caller's.
fn account(context: &Context) -> &AccountId {
    &context.caller.account
}
