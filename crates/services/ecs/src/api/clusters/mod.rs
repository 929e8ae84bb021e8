//! Clusters: create, describe, list, update, delete (ECS semantics §4).

pub(super) mod configuration;
mod describe;
mod list;
mod providers;
mod update;

use ledger::Snapshot;
use shapes_ecs as shapes;
use terms::ClusterName;
use wire::Context;

use super::{Api, account_settings, services, tags, target};
use crate::error::Error;
use crate::model::{Cluster, ClusterStatus, Document, InstanceStatus, ServiceStatus, Tag};
use crate::tables::{ClusterKey, Scope, Tables};
use describe::{Include, show};
use providers::Association;

/// Most clusters of an account in a region that were not deleted (ECS semantics §24).
const MAX_CLUSTERS: usize = 10_000;

/// What a request says of a cluster, checked.
struct Wanted {
    settings: Vec<(String, String)>,
    configuration: Option<Document<shapes::ClusterConfiguration>>,
    association: Association,
    tags: Vec<Tag>,
}

impl Api {
    /// Makes a cluster. One that exists already is answered as it is, unless the request gives it
    /// other capacity providers.
    pub(crate) async fn create_cluster(
        &self,
        context: Context,
        input: shapes::CreateClusterRequest,
    ) -> Result<shapes::CreateClusterResponse, Error> {
        let name = input.cluster_name.as_deref().filter(|name| !name.is_empty());
        let name = name.map_or(Ok(ClusterName::default()), str::parse);
        let name = name.map_err(|_| {
            Error::invalid(
                "Invalid cluster name: up to 255 letters, digits, hyphens and underscores are \
                 allowed.",
            )
        })?;
        let key = target::scope(&context).cluster(name);
        if key.is_fleet() {
            let name = &key.name;
            let text = format!("The cluster name {name} is reserved for nodes of Fargate tasks.");
            return Err(Error::invalid(text));
        }
        let wanted = read(input)?;
        let (tables, principal) = (self.tables, account_settings::principal(&context));
        let full = is_full(&self.ledger.snapshot(), &tables, &key.scope);
        let made = self.ledger.transact("create cluster", |tx| {
            let Wanted { settings, configuration, association, tags } = &wanted;
            association.check(tx, &tables, &key)?;
            let known = tx.get(&tables.clusters, &key);
            if let Some(row) = known.filter(|row| row.status == ClusterStatus::Active) {
                return association.agrees_with(&row);
            }
            if full {
                return Err(Error::client("The maximum number of clusters has been exceeded."));
            }
            let mut cluster = Cluster {
                settings: settings.clone(),
                configuration: configuration.clone(),
                capacity_providers: association.providers.clone(),
                default_strategy: association.strategy.clone(),
                tags: tags.clone(),
                ..Cluster::new(key.name.clone(), tx.now())
            };
            if cluster.settings.is_empty() {
                cluster.settings = configuration::usual_settings(tx, &tables, &key, &principal);
            }
            tx.put(&tables.clusters, key.clone(), cluster);
            Ok(())
        });
        made.await?;
        let cluster = Some(self.shown(&key, Include::ALL)?);
        Ok(shapes::CreateClusterResponse { cluster })
    }

    /// Deletes a cluster that nothing is in.
    pub(crate) async fn delete_cluster(
        &self,
        context: Context,
        input: shapes::DeleteClusterRequest,
    ) -> Result<shapes::DeleteClusterResponse, Error> {
        let key = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let tables = self.tables;
        let deleted = self.ledger.transact("delete cluster", |tx| {
            let row = target::active_cluster(tx, &tables, &key)?;
            let has_status = |status| {
                let with_status = (key.clone(), status);
                tx.index(&tables.instances_by_status, &with_status).next().is_some()
            };
            if has_status(InstanceStatus::Active) || has_status(InstanceStatus::Draining) {
                return Err(Error::ClusterContainsContainerInstances);
            }
            let has_services = |status| {
                let with_status = (key.clone(), status);
                tx.index(&tables.services.by_status, &with_status).next().is_some()
            };
            if has_services(ServiceStatus::Active) || has_services(ServiceStatus::Draining) {
                return Err(Error::ClusterContainsServices);
            }
            if tx.index(&tables.live, &key).next().is_some() {
                return Err(Error::ClusterContainsTasks);
            }
            let gone = Cluster {
                status: ClusterStatus::Inactive,
                changed_at: tx.now(),
                ..Cluster::clone(&row)
            };
            tx.put(&tables.clusters, key.clone(), gone);
            forget_contents(tx, &tables, &key);
            Ok(())
        });
        deleted.await?;
        let cluster = Some(self.shown(&key, Include::ALL)?);
        Ok(shapes::DeleteClusterResponse { cluster })
    }

    /// The cluster as it is now.
    fn shown(&self, key: &ClusterKey, include: Include) -> Result<shapes::Cluster, Error> {
        let snapshot = self.ledger.snapshot();
        let row = snapshot.get(&self.tables.clusters, key).ok_or(Error::ClusterNotFound)?;
        Ok(show(&snapshot, &self.tables, key, &row, include))
    }
}

fn read(input: shapes::CreateClusterRequest) -> Result<Wanted, Error> {
    configuration::refuse_namespace("CreateCluster", input.service_connect_defaults.as_ref())?;
    Ok(Wanted {
        settings: configuration::settings(input.settings.unwrap_or_default())?,
        configuration: input.configuration.map(configuration::read).transpose()?,
        association: Association::read(
            input.capacity_providers.unwrap_or_default(),
            input.default_capacity_provider_strategy.unwrap_or_default(),
        )?,
        tags: tags::read(input.tags)?,
    })
}

/// Whether the account has as many clusters as it may. Counted on a snapshot: a count inside the
/// transaction would make any two clusters made at once a conflict.
fn is_full(snapshot: &Snapshot, tables: &Tables, scope: &Scope) -> bool {
    let active = || {
        let rows = snapshot.prefix(&tables.clusters, scope);
        rows.filter(|(_, row)| row.status == ClusterStatus::Active).count()
    };
    snapshot.len(&tables.clusters) >= MAX_CLUSTERS && active() >= MAX_CLUSTERS
}

/// What stopped or was deregistered goes with its cluster: another one may take the name.
fn forget_contents(tx: &mut ledger::Tx<'_>, tables: &Tables, key: &ClusterKey) {
    let tasks: Vec<_> = tx.prefix(&tables.tasks, key).map(|(key, _)| key).collect();
    tasks.iter().for_each(|task| tx.delete(&tables.tasks, task));
    let instances: Vec<_> = tx.prefix(&tables.instances, key).map(|(key, _)| key).collect();
    for instance in &instances {
        tx.delete(&tables.instances, instance);
        tx.delete(&tables.releases, instance);
    }
    let ended: Vec<_> = tx.prefix(&tables.services.rows, key).map(|(key, _)| key).collect();
    ended.iter().for_each(|service| services::forget(tx, tables, service));
    let tokens: Vec<_> = tx.prefix(&tables.run_tokens, key).map(|(key, _)| key).collect();
    tokens.iter().for_each(|token| tx.delete(&tables.run_tokens, token));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::sample::MADE;
    use crate::tables::sample;

    #[tokio::test]
    async fn an_account_has_ten_thousand_clusters_and_deleted_ones_besides() {
        let (ledger, tables) = sample::ledger();
        let scope = |account: &str| Scope {
            account: account.parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
        };
        let (ours, other) = (scope("000000000000"), scope("000000000001"));
        let put = async |numbers: std::ops::Range<usize>, status| {
            let done = ledger.transact("put", |tx| {
                for number in numbers.clone() {
                    let key = ours.cluster(format!("c{number}").parse().unwrap());
                    let row = Cluster { status, ..Cluster::new(key.name.clone(), MADE) };
                    tx.put(&tables.clusters, key, row);
                }
                Ok::<_, Error>(())
            });
            done.await.unwrap();
        };
        put(0..MAX_CLUSTERS, ClusterStatus::Active).await;
        assert!(is_full(&ledger.snapshot(), &tables, &ours));
        assert!(!is_full(&ledger.snapshot(), &tables, &other));
        put(0..1, ClusterStatus::Inactive).await;
        assert!(!is_full(&ledger.snapshot(), &tables, &ours));
        put(MAX_CLUSTERS..MAX_CLUSTERS + 1, ClusterStatus::Active).await;
        assert!(is_full(&ledger.snapshot(), &tables, &ours));
    }
}
