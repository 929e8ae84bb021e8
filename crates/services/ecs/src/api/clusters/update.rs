//! UpdateCluster, UpdateClusterSettings and PutClusterCapacityProviders.

use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, target};
use super::configuration;
use super::describe::Include;
use super::providers::{self, Association};
use crate::error::Error;
use crate::model::{Cluster, Document};
use crate::tables::ClusterKey;

/// What changes; absent members stay as they are.
struct Change {
    settings: Vec<(String, String)>,
    configuration: Option<Document<shapes::ClusterConfiguration>>,
}

impl Api {
    /// Changes a cluster's settings and configuration; what is not given stays.
    pub(crate) async fn update_cluster(
        &self,
        context: Context,
        input: shapes::UpdateClusterRequest,
    ) -> Result<shapes::UpdateClusterResponse, Error> {
        let key = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        configuration::refuse_namespace("UpdateCluster", input.service_connect_defaults.as_ref())?;
        let change = Change {
            settings: configuration::settings(input.settings.unwrap_or_default())?,
            configuration: input.configuration.map(configuration::read).transpose()?,
        };
        let cluster = Some(self.change_cluster(&key, change).await?);
        Ok(shapes::UpdateClusterResponse { cluster })
    }

    /// Changes a cluster's settings.
    pub(crate) async fn update_cluster_settings(
        &self,
        context: Context,
        input: shapes::UpdateClusterSettingsRequest,
    ) -> Result<shapes::UpdateClusterSettingsResponse, Error> {
        let key = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        if input.settings.is_empty() {
            return Err(Error::invalid("Settings cannot be empty."));
        }
        let settings = configuration::settings(input.settings)?;
        let change = Change { settings, configuration: None };
        let cluster = Some(self.change_cluster(&key, change).await?);
        Ok(shapes::UpdateClusterSettingsResponse { cluster })
    }

    /// Replaces the capacity providers and the default strategy of a cluster.
    pub(crate) async fn put_cluster_capacity_providers(
        &self,
        context: Context,
        input: shapes::PutClusterCapacityProvidersRequest,
    ) -> Result<shapes::PutClusterCapacityProvidersResponse, Error> {
        let key = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let (providers, strategy) =
            (input.capacity_providers, input.default_capacity_provider_strategy);
        let tables = self.tables;
        target::active_cluster(&self.ledger.snapshot(), &tables, &key)?;
        let association = Association::read(providers, strategy)?;
        let put = self.ledger.transact("put cluster capacity providers", |tx| {
            let row = target::active_cluster(tx, &tables, &key)?;
            association.check(tx, &tables, &key)?;
            let dropped = row.capacity_providers.iter();
            let mut dropped = dropped.filter(|name| !association.providers.contains(name));
            if dropped.any(|name| providers::is_in_use(tx, &tables, &key, name)) {
                return Err(Error::ProviderInUse);
            }
            let changed = Cluster {
                capacity_providers: association.providers.clone(),
                default_strategy: association.strategy.clone(),
                ..Cluster::clone(&row)
            };
            tx.put(&tables.clusters, key.clone(), changed);
            Ok(())
        });
        put.await?;
        let cluster = Some(self.shown(&key, Include::ALL)?);
        Ok(shapes::PutClusterCapacityProvidersResponse { cluster })
    }

    async fn change_cluster(
        &self,
        key: &ClusterKey,
        change: Change,
    ) -> Result<shapes::Cluster, Error> {
        let tables = self.tables;
        let changed = self.ledger.transact("update cluster", |tx| {
            let row = target::active_cluster(tx, &tables, key)?;
            let mut cluster = Cluster::clone(&row);
            if !change.settings.is_empty() {
                cluster.settings.clone_from(&change.settings);
            }
            if change.configuration.is_some() {
                cluster.configuration.clone_from(&change.configuration);
            }
            tx.put(&tables.clusters, key.clone(), cluster);
            Ok::<(), Error>(())
        });
        changed.await?;
        self.shown(key, Include::ALL)
    }
}
