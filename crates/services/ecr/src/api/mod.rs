//! The operations, one file a subject.

mod authorization;
mod cache_rules;
mod images;
mod layers;
mod lifecycle;
mod mutability;
mod paging;
mod policies;
mod put_image;
mod replication;
mod repositories;
mod scanning;
mod scans;
mod settings;
mod signing;
mod storage_class;
mod tags;
mod templates;

pub(crate) use scans::scan_status;

use std::sync::Arc;

use shapes_ecr as shapes;
use shapes_ecr::errors::INVALID_PARAMETER;
use shapes_ecr::operations as ops;
use wire::{Context, Service, ServiceError, Violation};

use crate::error::Error;
use crate::tables::NameKey;
use crate::{Inner, Scope};

/// The longest request: a part of a layer of 20 MiB, in base64.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How the wire begins to tell of a broken pattern.
const PATTERN: &str = "Member must satisfy regular expression pattern: ";

/// Adds handlers: the operation, then the method of [`Inner`] that answers it.
macro_rules! operations {
    ($inner:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let inner = Arc::clone($inner);
            move |context, input| {
                let inner = Arc::clone(&inner);
                async move { inner.$handler(context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(inner: &Arc<Inner>) -> Service {
    let service = Service::new(&shapes::SERVICE).body_limit(BODY_BYTES_MAX).explain(explain);
    operations! { inner, service,
        BatchCheckLayerAvailability => batch_check_layer_availability;
        BatchDeleteImage => batch_delete_image;
        BatchGetImage => batch_get_image;
        BatchGetRepositoryScanningConfiguration => batch_get_repository_scanning_configuration;
        CompleteLayerUpload => complete_layer_upload;
        CreatePullThroughCacheRule => create_pull_through_cache_rule;
        CreateRepository => create_repository;
        CreateRepositoryCreationTemplate => create_repository_creation_template;
        DeleteLifecyclePolicy => delete_lifecycle_policy;
        DeletePullThroughCacheRule => delete_pull_through_cache_rule;
        DeleteRegistryPolicy => delete_registry_policy;
        DeleteRepository => delete_repository;
        DeleteRepositoryCreationTemplate => delete_repository_creation_template;
        DeleteRepositoryPolicy => delete_repository_policy;
        DeleteSigningConfiguration => delete_signing_configuration;
        DeregisterPullTimeUpdateExclusion => deregister_pull_time_update_exclusion;
        DescribeImageReplicationStatus => describe_image_replication_status;
        DescribeImageScanFindings => describe_image_scan_findings;
        DescribeImageSigningStatus => describe_image_signing_status;
        DescribeImages => describe_images;
        DescribePullThroughCacheRules => describe_pull_through_cache_rules;
        DescribeRegistry => describe_registry;
        DescribeRepositories => describe_repositories;
        DescribeRepositoryCreationTemplates => describe_repository_creation_templates;
        GetAccountSetting => get_account_setting;
        GetAuthorizationToken => get_authorization_token;
        GetDownloadUrlForLayer => get_download_url_for_layer;
        GetLifecyclePolicy => get_lifecycle_policy;
        GetLifecyclePolicyPreview => get_lifecycle_policy_preview;
        GetRegistryPolicy => get_registry_policy;
        GetRegistryScanningConfiguration => get_registry_scanning_configuration;
        GetRepositoryPolicy => get_repository_policy;
        GetSigningConfiguration => get_signing_configuration;
        InitiateLayerUpload => initiate_layer_upload;
        ListImageReferrers => list_image_referrers;
        ListImages => list_images;
        ListPullTimeUpdateExclusions => list_pull_time_update_exclusions;
        ListTagsForResource => list_tags_for_resource;
        PutAccountSetting => put_account_setting;
        PutImage => put_image;
        PutImageScanningConfiguration => put_image_scanning_configuration;
        PutImageTagMutability => put_image_tag_mutability;
        PutLifecyclePolicy => put_lifecycle_policy;
        PutRegistryPolicy => put_registry_policy;
        PutRegistryScanningConfiguration => put_registry_scanning_configuration;
        PutReplicationConfiguration => put_replication_configuration;
        PutSigningConfiguration => put_signing_configuration;
        RegisterPullTimeUpdateExclusion => register_pull_time_update_exclusion;
        SetRepositoryPolicy => set_repository_policy;
        StartImageScan => start_image_scan;
        StartLifecyclePolicyPreview => start_lifecycle_policy_preview;
        TagResource => tag_resource;
        UntagResource => untag_resource;
        UpdateImageStorageClass => update_image_storage_class;
        UpdatePullThroughCacheRule => update_pull_through_cache_rule;
        UpdateRepositoryCreationTemplate => update_repository_creation_template;
        UploadLayerPart => upload_layer_part;
        ValidatePullThroughCacheRule => validate_pull_through_cache_rule;
    }
}

/// A constraint of the model that a request breaks, as ECR tells it (reference: registry semantics
/// §10): the first one, as a wrong parameter.
fn explain(_: &'static str, broken: &[Violation]) -> ServiceError {
    let text = broken.first().map_or_else(String::new, |violation| {
        let constraint = match violation.constraint.strip_prefix(PATTERN) {
            Some(pattern) => format!("must satisfy regular expression '{pattern}'"),
            None => violation.constraint.clone(),
        };
        let path = &violation.path;
        format!("Invalid parameter at '{path}' failed to satisfy constraint: '{constraint}'")
    });
    ServiceError::new(INVALID_PARAMETER.code, INVALID_PARAMETER.status, text)
}

/// The registry that a request means. Another account's is closed: policies of repositories hold within
/// their account alone.
fn scope(context: &Context, registry: Option<&str>) -> Result<Scope, Error> {
    let scope = Scope::of(context);
    match registry {
        Some(id) if id != scope.account.as_str() => Err(Error::Denied(format!(
            "User: {} is not authorized to perform: ecr:{} on the registry with id '{id}' because \
             no resource-based policy allows the ecr:{} action",
            context.caller.arn, context.operation, context.operation,
        ))),
        _ => Ok(scope),
    }
}

/// The repository that a request means, by its key; its name has the right form.
fn key(context: &Context, registry: Option<&str>, name: &str) -> Result<NameKey, Error> {
    let scope = scope(context, registry)?;
    match crate::model::is_repository_name(name) {
        true => Ok((scope, name.to_owned())),
        false => Err(Error::parameter(
            "repositoryName",
            "must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'",
        )),
    }
}

/// `arn:aws:ecr:…:repository/…`.
pub(crate) fn arn(key: &NameKey) -> String {
    let (Scope { account, region }, name) = key;
    format!("arn:aws:ecr:{region}:{account}:repository/{name}")
}
