//! Replication to other registries: its rules, and how far images are.

use std::collections::BTreeSet;

use shapes_ecr as shapes;
use wire::Context;

use super::key;
use crate::error::Error;
use crate::model::{Filter, Place, Progress, ReplicationRule};
use crate::push::{Named, beside};
use crate::{Inner, Scope};

/// Places of all rules of a registry (ECR's quota).
const PLACES_MAX: usize = 25;
/// What is wrong if something is.
const FIELD: &str = "replicationConfiguration";

fn show(rules: &[ReplicationRule]) -> shapes::ReplicationConfiguration {
    let rule = |rule: &ReplicationRule| {
        let filters = rule.filters.iter().map(|filter| shapes::RepositoryFilter {
            filter: filter.text.clone(),
            filter_type: shapes::RepositoryFilterType::PrefixMatch,
        });
        let filters: Vec<_> = filters.collect();
        let places = rule.places.iter().map(|place| shapes::ReplicationDestination {
            region: place.region.clone(),
            registry_id: place.registry.clone(),
        });
        shapes::ReplicationRule {
            destinations: places.collect(),
            repository_filters: Some(filters).filter(|filters| !filters.is_empty()),
        }
    };
    shapes::ReplicationConfiguration { rules: rules.iter().map(rule).collect() }
}

impl Inner {
    /// Reads rules, whose destinations the server has to know.
    fn replication_rules(
        &self,
        scope: &Scope,
        wish: &shapes::ReplicationConfiguration,
    ) -> Result<Vec<ReplicationRule>, Error> {
        let mut all = BTreeSet::new();
        let mut rules = Vec::new();
        for rule in &wish.rules {
            if rule.destinations.is_empty() {
                return Err(Error::parameter(FIELD, "a rule has no destinations"));
            }
            let places: Vec<_> = rule
                .destinations
                .iter()
                .map(|wish| Place {
                    region: wish.region.clone(),
                    registry: wish.registry_id.clone(),
                })
                .collect();
            for place in &places {
                self.check_place(scope, place)?;
                all.insert(place.clone());
            }
            let filters = rule.repository_filters.iter().flatten().map(|wish| Filter {
                text: wish.filter.clone(),
                kind: wish.filter_type.as_str().to_owned(),
            });
            rules.push(ReplicationRule { places, filters: filters.collect() });
        }
        match all.len() > PLACES_MAX {
            true => Err(Error::parameter(
                FIELD,
                format!("the rules have more than {PLACES_MAX} different destinations"),
            )),
            false => Ok(rules),
        }
    }

    fn check_place(&self, scope: &Scope, place: &Place) -> Result<(), Error> {
        let Place { region, registry } = place;
        if (registry.as_str(), region.as_str()) == (scope.account.as_str(), scope.region.as_str()) {
            let why = "Replication destination cannot be the same as the source registry";
            return Err(Error::parameter(FIELD, why));
        }
        let is_known =
            self.setup.destinations.iter().any(|known| {
                known.registry.as_str() == registry && known.region.as_str() == region
            });
        match is_known {
            true => Ok(()),
            false => Err(Error::parameter(
                FIELD,
                format!(
                    "this server was not told where registry {registry} in {region} is: name it in \
                     the file of --registry-destinations"
                ),
            )),
        }
    }

    /// Gives the registry its rules, in place of those that it had.
    pub(super) async fn put_replication_configuration(
        &self,
        context: Context,
        input: shapes::PutReplicationConfigurationRequest,
    ) -> Result<shapes::PutReplicationConfigurationResponse, Error> {
        let scope = Scope::of(&context);
        let rules = self.replication_rules(&scope, &input.replication_configuration)?;
        self.change_registry(&scope, |row| {
            row.replication.clone_from(&rules);
            Ok(())
        })
        .await?;
        Ok(shapes::PutReplicationConfigurationResponse {
            replication_configuration: Some(show(&rules)),
        })
    }

    /// What is known of a registry.
    pub(super) async fn describe_registry(
        &self,
        context: Context,
        _: shapes::DescribeRegistryRequest,
    ) -> Result<shapes::DescribeRegistryResponse, Error> {
        let rules = self.registry(&Scope::of(&context)).replication;
        Ok(shapes::DescribeRegistryResponse {
            registry_id: Some(context.caller.account.to_string()),
            replication_configuration: Some(show(&rules)),
        })
    }

    /// How far an image is on its way to each place.
    pub(super) async fn describe_image_replication_status(
        &self,
        context: Context,
        input: shapes::DescribeImageReplicationStatusRequest,
    ) -> Result<shapes::DescribeImageReplicationStatusResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        self.tables.repository(&snapshot, &key)?;
        let id = input.image_id;
        let named = Named { digest: id.image_digest.clone(), tag: id.image_tag.clone() };
        let (digest, _) = self.tables.image(&snapshot, &key, &named)?;
        let rows = snapshot.prefix(&self.tables.replications, &beside(&key, &digest));
        let statuses = rows.map(|(_, row)| {
            let (status, failure_code) = match &row.progress {
                Progress::Waiting { .. } => (shapes::ReplicationStatus::InProgress, None),
                Progress::Complete => (shapes::ReplicationStatus::Complete, None),
                Progress::Failed { code } => {
                    (shapes::ReplicationStatus::Failed, Some(code.clone()))
                }
            };
            shapes::ImageReplicationStatus {
                failure_code,
                region: Some(row.place.region.clone()),
                registry_id: Some(row.place.registry.clone()),
                status: Some(status),
            }
        });
        Ok(shapes::DescribeImageReplicationStatusResponse {
            image_id: Some(shapes::ImageIdentifier {
                image_digest: Some(digest),
                image_tag: id.image_tag,
            }),
            replication_statuses: Some(statuses.collect()),
            repository_name: Some(key.1.clone()),
        })
    }
}
