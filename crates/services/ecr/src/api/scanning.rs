//! What is to be scanned, and when.

use shapes::{ScanFrequency, ScanType, ScanningRepositoryFilterType};
use shapes_ecr as shapes;
use wire::Context;

use super::{arn, key};
use crate::error::Error;
use crate::model::{Filter, RegistrySettings, ScanningRule, Watch};
use crate::{Inner, Scope};

/// Rules of one registry, and filters of one rule.
const RULES_MAX: usize = 2;
const FILTERS_MAX: usize = 100;

fn frequency(text: &str) -> ScanFrequency {
    match text {
        "SCAN_ON_PUSH" => ScanFrequency::ScanOnPush,
        "CONTINUOUS_SCAN" => ScanFrequency::ContinuousScan,
        _ => ScanFrequency::Manual,
    }
}

fn show_filter(filter: &Filter) -> shapes::ScanningRepositoryFilter {
    shapes::ScanningRepositoryFilter {
        filter: filter.text.clone(),
        filter_type: ScanningRepositoryFilterType::Wildcard,
    }
}

fn show(row: &RegistrySettings) -> shapes::RegistryScanningConfiguration {
    let rule = |rule: &ScanningRule| shapes::RegistryScanningRule {
        repository_filters: rule.filters.iter().map(show_filter).collect(),
        scan_frequency: frequency(&rule.frequency),
    };
    shapes::RegistryScanningConfiguration {
        rules: Some(row.scanning.iter().map(rule).collect()),
        scan_type: Some(if row.is_enhanced() { ScanType::Enhanced } else { ScanType::Basic }),
    }
}

fn show_watch(watch: Watch) -> ScanFrequency {
    match watch {
        Watch::Manual => ScanFrequency::Manual,
        Watch::OnPush => ScanFrequency::ScanOnPush,
        Watch::Continuous => ScanFrequency::ContinuousScan,
    }
}

impl Inner {
    /// Sets what is to be scanned.
    pub(super) async fn put_registry_scanning_configuration(
        &self,
        context: Context,
        input: shapes::PutRegistryScanningConfigurationRequest,
    ) -> Result<shapes::PutRegistryScanningConfigurationResponse, Error> {
        let rules = input.rules.unwrap_or_default();
        let is_enhanced = input.scan_type == Some(ScanType::Enhanced);
        if rules.len() > RULES_MAX {
            return Err(Error::parameter("rules", format!("has more than {RULES_MAX} members")));
        }
        let mut read = Vec::new();
        for rule in &rules {
            let is_continuous = rule.scan_frequency == ScanFrequency::ContinuousScan;
            let is_manual = rule.scan_frequency == ScanFrequency::Manual;
            if (is_continuous && !is_enhanced) || (is_manual && is_enhanced) {
                let (kind, frequency) = (input.scan_type.unwrap_or_default(), rule.scan_frequency);
                let why = format!("{} does not go with {}", frequency.as_str(), kind.as_str());
                return Err(Error::parameter("rules", why));
            }
            if rule.repository_filters.len() > FILTERS_MAX {
                return Err(Error::parameter(
                    "rules",
                    format!("a rule has at most {FILTERS_MAX} filters"),
                ));
            }
            let filters = rule.repository_filters.iter().map(|filter| Filter {
                text: filter.filter.clone(),
                kind: filter.filter_type.as_str().to_owned(),
            });
            let frequency = rule.scan_frequency.as_str().to_owned();
            read.push(ScanningRule { frequency, filters: filters.collect() });
        }
        let shown = self
            .change_registry(&Scope::of(&context), |row| {
                row.scan_type = input.scan_type.map(|kind| kind.as_str().to_owned());
                row.scanning.clone_from(&read);
                Ok(show(row))
            })
            .await?;
        let registry_scanning_configuration = Some(shown);
        Ok(shapes::PutRegistryScanningConfigurationResponse { registry_scanning_configuration })
    }

    /// Shows what is to be scanned.
    pub(super) async fn get_registry_scanning_configuration(
        &self,
        context: Context,
        _: shapes::GetRegistryScanningConfigurationRequest,
    ) -> Result<shapes::GetRegistryScanningConfigurationResponse, Error> {
        let scope = Scope::of(&context);
        Ok(shapes::GetRegistryScanningConfigurationResponse {
            registry_id: Some(scope.account.to_string()),
            scanning_configuration: Some(show(&self.registry(&scope))),
        })
    }

    /// What the settings mean for repositories.
    pub(super) async fn batch_get_repository_scanning_configuration(
        &self,
        context: Context,
        input: shapes::BatchGetRepositoryScanningConfigurationRequest,
    ) -> Result<shapes::BatchGetRepositoryScanningConfigurationResponse, Error> {
        let (scope, snapshot) = (Scope::of(&context), self.ledger.snapshot());
        let settings = self.registry(&scope);
        let (mut configurations, mut failures) = (Vec::new(), Vec::new());
        for name in input.repository_names {
            let key = (scope.clone(), name);
            let Ok(row) = self.tables.repository(&snapshot, &key) else {
                failures.push(shapes::RepositoryScanningConfigurationFailure {
                    failure_code: Some(
                        shapes::ScanningConfigurationFailureCode::RepositoryNotFound,
                    ),
                    failure_reason: Some(
                        shapes::ScanningConfigurationFailureCode::RepositoryNotFound
                            .as_str()
                            .to_owned(),
                    ),
                    repository_name: Some(key.1),
                });
                continue;
            };
            let (watch, rule) = settings.watch(&key.1, &row);
            let scan_frequency = show_watch(watch);
            let filters = rule.into_iter().flat_map(|rule| &rule.filters);
            configurations.push(shapes::RepositoryScanningConfiguration {
                applied_scan_filters: Some(
                    filters.filter(|one| one.fits(&key.1)).map(show_filter).collect(),
                ),
                repository_arn: Some(arn(&key)),
                repository_name: Some(key.1),
                scan_frequency: Some(scan_frequency),
                // The repository's own setting, whatever the registry's rules make of it.
                scan_on_push: Some(row.scan_on_push),
            });
        }
        Ok(shapes::BatchGetRepositoryScanningConfigurationResponse {
            failures: Some(failures),
            scanning_configurations: Some(configurations),
        })
    }

    /// Sets whether a repository's images are to be scanned when they are pushed.
    pub(super) async fn put_image_scanning_configuration(
        &self,
        context: Context,
        input: shapes::PutImageScanningConfigurationRequest,
    ) -> Result<shapes::PutImageScanningConfigurationResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let wish = input.image_scanning_configuration;
        let scan_on_push = wish.scan_on_push.unwrap_or(false);
        self.change_repository(&key, |row| {
            row.scan_on_push = scan_on_push;
            Ok(())
        })
        .await?;
        let shown = shapes::ImageScanningConfiguration { scan_on_push: Some(scan_on_push) };
        Ok(shapes::PutImageScanningConfigurationResponse {
            image_scanning_configuration: Some(shown),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }
}
