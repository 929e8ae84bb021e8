//! Clusters: create, describe, list, delete (ECS semantics §4).

use std::ops::Bound;

use ledger::View;
use shapes_ecs as shapes;
use terms::ClusterName;
use wire::Context;
use wire::value::Enumeration;

use super::{Api, missing, page::Page, tags, target};
use crate::error::Error;
use crate::model::{Cluster, ClusterStatus, InstanceStatus, TaskStatus};
use crate::tables::{ClusterKey, Tables};

/// Most clusters that one request may describe.
const MAX_DESCRIBED: usize = 100;

impl Api {
    /// Makes a cluster. One that exists already is answered as it is: ECS does not compare.
    pub(crate) async fn create_cluster(
        &self,
        context: Context,
        input: shapes::CreateClusterRequest,
    ) -> Result<shapes::CreateClusterResponse, Error> {
        refuse_unbuilt(&input)?;
        let name = input.cluster_name.as_deref().filter(|name| !name.is_empty());
        let name = name.map_or(Ok(ClusterName::default()), str::parse);
        let name = name.map_err(|_| {
            Error::invalid(
                "Invalid cluster name: up to 255 letters, digits, hyphens and underscores are \
                 allowed.",
            )
        })?;
        let key = target::scope(&context).cluster(name);
        let settings = settings(input.settings)?;
        let tags = tags::read(input.tags)?;
        let tables = self.tables;
        let made = self.ledger.transact("create cluster", |tx| {
            let known = tx.get(&tables.clusters, &key);
            if known.is_some_and(|row| row.status == ClusterStatus::Active) {
                return Ok::<(), Error>(());
            }
            let cluster = Cluster {
                settings: settings.clone(),
                tags: tags.clone(),
                ..Cluster::new(key.name.clone(), tx.now())
            };
            tx.put(&tables.clusters, key.clone(), cluster);
            Ok(())
        });
        made.await?;
        let snapshot = self.ledger.snapshot();
        let row = target::active_cluster(&snapshot, &tables, &key)?;
        let all = Include { settings: true, tags: true, statistics: false };
        Ok(shapes::CreateClusterResponse {
            cluster: Some(show(&snapshot, &tables, &key, &row, all)),
        })
    }

    /// Describes clusters; unknown ones are failures.
    pub(crate) async fn describe_clusters(
        &self,
        context: Context,
        input: shapes::DescribeClustersRequest,
    ) -> Result<shapes::DescribeClustersResponse, Error> {
        let scope = target::scope(&context);
        let names = input.clusters.filter(|names| !names.is_empty());
        let names = names.unwrap_or_else(|| vec![ClusterName::default().to_string()]);
        if names.len() > MAX_DESCRIBED {
            return Err(Error::invalid("Clusters can have at most 100 items."));
        }
        let asked = |word: &str| input.include.iter().flatten().any(|one| one.as_str() == word);
        let include = Include {
            settings: asked("SETTINGS"),
            tags: asked("TAGS"),
            statistics: asked("STATISTICS"),
        };
        let snapshot = self.ledger.snapshot();
        let (mut clusters, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let key = target::cluster(&scope, Some(&name)).ok();
            let found = key.and_then(|key| Some((snapshot.get(&self.tables.clusters, &key)?, key)));
            match found {
                Some((row, key)) => {
                    clusters.push(show(&snapshot, &self.tables, &key, &row, include));
                }
                None => {
                    let crate::tables::Scope { region, account } = &scope;
                    let arn = if name.starts_with("arn:") {
                        name
                    } else {
                        format!("arn:aws:ecs:{region}:{account}:cluster/{name}")
                    };
                    failures.push(missing(arn));
                }
            }
        }
        Ok(shapes::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
    }

    /// Lists the ARNs of clusters that were not deleted, by name.
    pub(crate) async fn list_clusters(
        &self,
        context: Context,
        input: shapes::ListClustersRequest,
    ) -> Result<shapes::ListClustersResponse, Error> {
        let scope = target::scope(&context);
        let page = Page::open("ListClusters", &(), input.max_results, input.next_token.as_deref())?;
        let snapshot = self.ledger.snapshot();
        let after: Option<ClusterName> = page.after_as()?;
        let rows = match after {
            None => snapshot.prefix(&self.tables.clusters, &scope),
            Some(name) => {
                let after = Bound::Excluded(scope.cluster(name));
                snapshot.range(&self.tables.clusters, (after, Bound::Unbounded))
            }
        };
        let rows = rows.take_while(|(key, _)| key.scope == scope);
        let active = rows.filter(|(_, row)| row.status == ClusterStatus::Active);
        let (keys, next_token) = page.take(active.map(|(key, _)| key), |key| key.name.to_string());
        Ok(shapes::ListClustersResponse {
            cluster_arns: Some(keys.iter().map(|key| key.arn().to_string()).collect()),
            next_token,
        })
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
        let snapshot = self.ledger.snapshot();
        let row = snapshot.get(&tables.clusters, &key).ok_or(Error::ClusterNotFound)?;
        let all = Include { settings: true, tags: true, statistics: false };
        Ok(shapes::DeleteClusterResponse {
            cluster: Some(show(&snapshot, &tables, &key, &row, all)),
        })
    }
}

/// What stopped or was deregistered goes with its cluster: another one may take the name.
fn forget_contents(tx: &mut ledger::Tx<'_>, tables: &Tables, key: &ClusterKey) {
    let tasks: Vec<_> = tx.prefix(&tables.tasks, key).map(|(key, _)| key).collect();
    tasks.iter().for_each(|task| tx.delete(&tables.tasks, task));
    let instances: Vec<_> = tx.prefix(&tables.instances, key).map(|(key, _)| key).collect();
    instances.iter().for_each(|instance| tx.delete(&tables.instances, instance));
    let tokens: Vec<_> = tx.prefix(&tables.run_tokens, key).map(|(key, _)| key).collect();
    tokens.iter().for_each(|token| tx.delete(&tables.run_tokens, token));
}

fn refuse_unbuilt(input: &shapes::CreateClusterRequest) -> Result<(), Error> {
    let refuse = |member: &str| Err(Error::not_built("CreateCluster", member));
    if input.capacity_providers.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("capacityProviders");
    }
    if input.default_capacity_provider_strategy.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("defaultCapacityProviderStrategy");
    }
    if input.service_connect_defaults.is_some() {
        return refuse("serviceConnectDefaults");
    }
    if input.configuration.is_some() {
        return refuse("configuration");
    }
    Ok(())
}

fn settings(settings: Option<Vec<shapes::ClusterSetting>>) -> Result<Vec<(String, String)>, Error> {
    let read = |setting: shapes::ClusterSetting| {
        let name = setting.name.map_or("", |name| name.as_str()).to_owned();
        let value = setting.value.unwrap_or_default();
        let good = name == "containerInsights"
            && matches!(value.as_str(), "enabled" | "disabled" | "enhanced");
        let text = "Cluster setting containerInsights must be enabled, disabled or enhanced.";
        good.then_some((name, value)).ok_or_else(|| Error::invalid(text))
    };
    let given = settings.filter(|settings| !settings.is_empty());
    // What an account without settings of its own gets.
    let usual = || vec![("containerInsights".to_owned(), "disabled".to_owned())];
    given.map_or_else(|| Ok(usual()), |given| given.into_iter().map(read).collect())
}

/// The members that are shown only if asked for.
#[derive(Clone, Copy)]
struct Include {
    settings: bool,
    tags: bool,
    statistics: bool,
}

fn show(
    view: &impl View,
    tables: &Tables,
    key: &ClusterKey,
    row: &Cluster,
    include: Include,
) -> shapes::Cluster {
    let tasks = |status| view.index(&tables.live, &(key.clone(), status)).count();
    let instances =
        |status| view.index(&tables.instances_by_status, &(key.clone(), status)).count();
    let number = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let running = tasks(TaskStatus::Running);
    let pending = tasks(TaskStatus::Provisioning)
        + tasks(TaskStatus::Pending)
        + tasks(TaskStatus::Activating);
    let registered = instances(InstanceStatus::Active) + instances(InstanceStatus::Draining);
    let setting = |(name, value): &(String, String)| shapes::ClusterSetting {
        name: shapes::ClusterSettingName::parse(name),
        value: Some(value.clone()),
    };
    shapes::Cluster {
        cluster_arn: Some(key.arn().to_string()),
        cluster_name: Some(key.name.to_string()),
        status: Some(row.status.as_str().to_owned()),
        registered_container_instances_count: number(registered),
        running_tasks_count: number(running),
        pending_tasks_count: number(pending),
        active_services_count: Some(0),
        statistics: Some(if include.statistics {
            statistics(running, pending)
        } else {
            Vec::new()
        }),
        tags: Some(if include.tags { tags::show(&row.tags) } else { Vec::new() }),
        settings: Some(Vec::from_iter(
            row.settings.iter().filter(|_| include.settings).map(setting),
        )),
        capacity_providers: Some(Vec::new()),
        default_capacity_provider_strategy: Some(Vec::new()),
        ..Default::default()
    }
}

/// The counts by launch type; only EC2's can be other than zero yet.
fn statistics(running: usize, pending: usize) -> Vec<shapes::KeyValuePair> {
    let pair = |(name, value): (&str, usize)| shapes::KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(value.to_string()),
    };
    let counts = [
        ("runningEC2TasksCount", running),
        ("runningFargateTasksCount", 0),
        ("runningExternalTasksCount", 0),
        ("pendingEC2TasksCount", pending),
        ("pendingFargateTasksCount", 0),
        ("pendingExternalTasksCount", 0),
        ("activeEC2ServiceCount", 0),
        ("activeFargateServiceCount", 0),
        ("activeExternalServiceCount", 0),
        ("drainingEC2ServiceCount", 0),
        ("drainingFargateServiceCount", 0),
        ("drainingExternalServiceCount", 0),
    ];
    counts.into_iter().map(pair).collect()
}
