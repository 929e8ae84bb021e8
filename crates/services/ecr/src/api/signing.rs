//! What is to be signed: kept and shown. Nothing signs, and that is told of every image that was to be.

use shapes::{SigningRepositoryFilterType, SigningStatus};
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::key;
use crate::error::Error;
use crate::model::{Filter, Signing, SigningRule};
use crate::push::Named;
use crate::{Inner, Scope};

/// What is told of an image that was to be signed (ours: ECR publishes no codes).
const FAILURE_CODE: &str = "NotImplemented";
const FAILURE_REASON: &str = "Longshore does not sign images yet; see docs/support.md";

fn show(signing: &Signing) -> shapes::SigningConfiguration {
    let filter = |filter: &Filter| shapes::SigningRepositoryFilter {
        filter: filter.text.clone(),
        filter_type: SigningRepositoryFilterType::WildcardMatch,
    };
    let rule = |rule: &SigningRule| shapes::SigningRule {
        repository_filters: Some(rule.filters.iter().map(filter).collect::<Vec<_>>())
            .filter(|filters| !filters.is_empty()),
        signing_profile_arn: rule.profile.clone(),
    };
    shapes::SigningConfiguration { rules: signing.rules.iter().map(rule).collect() }
}

fn missing(scope: &Scope) -> Error {
    let text =
        format!("Signing configuration does not exist in the registry with id '{}'", scope.account);
    Error::Of(codes::SIGNING_CONFIGURATION_NOT_FOUND, text)
}

impl Inner {
    /// Sets what is to be signed.
    pub(super) async fn put_signing_configuration(
        &self,
        context: Context,
        input: shapes::PutSigningConfigurationRequest,
    ) -> Result<shapes::PutSigningConfigurationResponse, Error> {
        let rule = |rule: &shapes::SigningRule| SigningRule {
            profile: rule.signing_profile_arn.clone(),
            filters: rule
                .repository_filters
                .iter()
                .flatten()
                .map(|filter| Filter {
                    text: filter.filter.clone(),
                    kind: filter.filter_type.as_str().to_owned(),
                })
                .collect(),
        };
        let rules = input.signing_configuration.rules.iter().map(rule).collect();
        let signing = Signing { put_at: context.now, rules };
        let shown = show(&signing);
        self.change_registry(&Scope::of(&context), |row| {
            row.signing = Some(signing.clone());
            Ok(())
        })
        .await?;
        Ok(shapes::PutSigningConfigurationResponse { signing_configuration: Some(shown) })
    }

    /// Shows what is to be signed.
    pub(super) async fn get_signing_configuration(
        &self,
        context: Context,
        _: shapes::GetSigningConfigurationRequest,
    ) -> Result<shapes::GetSigningConfigurationResponse, Error> {
        let scope = Scope::of(&context);
        let signing = self.registry(&scope).signing.ok_or_else(|| missing(&scope))?;
        Ok(shapes::GetSigningConfigurationResponse {
            registry_id: Some(scope.account.to_string()),
            signing_configuration: Some(show(&signing)),
        })
    }

    /// Has nothing signed any more.
    pub(super) async fn delete_signing_configuration(
        &self,
        context: Context,
        _: shapes::DeleteSigningConfigurationRequest,
    ) -> Result<shapes::DeleteSigningConfigurationResponse, Error> {
        let scope = Scope::of(&context);
        let gone = self
            .change_registry(&scope, |row| row.signing.take().ok_or_else(|| missing(&scope)))
            .await?;
        Ok(shapes::DeleteSigningConfigurationResponse {
            registry_id: Some(scope.account.to_string()),
            signing_configuration: Some(show(&gone)),
        })
    }

    /// What became of signing an image: of each profile that it was to be signed with, that it was not.
    pub(super) async fn describe_image_signing_status(
        &self,
        context: Context,
        input: shapes::DescribeImageSigningStatusRequest,
    ) -> Result<shapes::DescribeImageSigningStatusResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        self.tables.repository(&snapshot, &key)?;
        let id = input.image_id;
        let named = Named { digest: id.image_digest, tag: id.image_tag };
        let (digest, image) = self.tables.image(&snapshot, &key, &named)?;
        let signing = self.registry(&key.0).signing;
        let signing = signing.filter(|signing| image.pushed_at >= signing.put_at);
        let rules = signing.into_iter().flat_map(|signing| signing.rules);
        let statuses =
            rules.filter(|rule| rule.fits(&key.1)).map(|rule| shapes::ImageSigningStatus {
                failure_code: Some(FAILURE_CODE.to_owned()),
                failure_reason: Some(FAILURE_REASON.to_owned()),
                signing_profile_arn: Some(rule.profile),
                status: Some(SigningStatus::Failed),
            });
        let statuses = statuses.collect();
        Ok(shapes::DescribeImageSigningStatusResponse {
            image_id: Some(shapes::ImageIdentifier {
                image_digest: Some(digest),
                image_tag: named.tag,
            }),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
            signing_statuses: Some(statuses),
        })
    }
}
