//! DescribeClusters, and clusters as the API shows them.

use ledger::View;
use shapes_ecs as shapes;
use terms::ClusterName;
use wire::Context;
use wire::value::Enumeration;

use super::super::{Api, missing, strategy, tags, target};
use crate::error::Error;
use crate::model::{Cluster, InstanceStatus, ServiceStatus, TaskStatus, is_fargate};
use crate::tables::{ClusterKey, Scope, Tables};

/// Most clusters that one request may describe.
const MAX_DESCRIBED: usize = 100;

/// The members that are shown only if asked for.
#[derive(Clone, Copy)]
pub(super) struct Include {
    attachments: bool,
    configurations: bool,
    settings: bool,
    statistics: bool,
    tags: bool,
}

impl Include {
    /// What operations that change a cluster answer: all but the counts.
    pub(super) const ALL: Self = Self {
        attachments: true,
        configurations: true,
        settings: true,
        statistics: false,
        tags: true,
    };
}

impl Api {
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
        if names.iter().any(|name| name.trim().is_empty()) {
            // Observed on ECS.
            return Err(Error::invalid("Clusters can not be blank."));
        }
        let asked = |field| input.include.iter().flatten().any(|one| *one == field);
        let include = Include {
            attachments: asked(shapes::ClusterField::Attachments),
            configurations: asked(shapes::ClusterField::Configurations),
            settings: asked(shapes::ClusterField::Settings),
            statistics: asked(shapes::ClusterField::Statistics),
            tags: asked(shapes::ClusterField::Tags),
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
                None => failures.push(missing(arn_of(&scope, name))),
            }
        }
        Ok(shapes::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
    }
}

/// The ARN that a failure names.
fn arn_of(scope: &Scope, name: String) -> String {
    if name.starts_with("arn:") {
        return name;
    }
    let Scope { region, account } = scope;
    format!("arn:aws:ecs:{region}:{account}:cluster/{name}")
}

/// A cluster as the API shows it.
pub(super) fn show(
    view: &impl View,
    tables: &Tables,
    key: &ClusterKey,
    row: &Cluster,
    include: Include,
) -> shapes::Cluster {
    let tasks = |status| view.index(&tables.live, &(key.clone(), status)).count();
    let instances =
        |status| view.index(&tables.instances_by_status, &(key.clone(), status)).count();
    let services = |status| view.index(&tables.services.by_status, &(key.clone(), status)).count();
    let active = services(ServiceStatus::Active);
    let number = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let running = tasks(TaskStatus::Running);
    let pending = tasks(TaskStatus::Provisioning)
        + tasks(TaskStatus::Pending)
        + tasks(TaskStatus::Activating);
    let registered = instances(InstanceStatus::Active) + instances(InstanceStatus::Draining);
    let statistics = if include.statistics { statistics(view, tables, key) } else { Vec::new() };
    let configuration = row.configuration.as_ref().filter(|_| include.configurations);
    // There are no scaling policies to attach yet: associations are settled at once.
    let has_groups = row.capacity_providers.iter().any(|name| !is_fargate(name));
    shapes::Cluster {
        cluster_arn: Some(key.arn().to_string()),
        cluster_name: Some(key.name.to_string()),
        status: Some(row.status.as_str().to_owned()),
        registered_container_instances_count: number(registered),
        running_tasks_count: number(running),
        pending_tasks_count: number(pending),
        active_services_count: number(active),
        statistics: Some(statistics),
        tags: Some(if include.tags { tags::show(&row.tags) } else { Vec::new() }),
        settings: Some(if include.settings { settings(row) } else { Vec::new() }),
        configuration: configuration.map(|document| (**document).clone()),
        capacity_providers: Some(row.capacity_providers.iter().map(ToString::to_string).collect()),
        default_capacity_provider_strategy: Some(strategy::show(&row.default_strategy)),
        attachments: (include.attachments && has_groups).then(Vec::new),
        attachments_status: (include.attachments && has_groups)
            .then(|| "UPDATE_COMPLETE".to_owned()),
        ..Default::default()
    }
}

fn settings(row: &Cluster) -> Vec<shapes::ClusterSetting> {
    let setting = |(name, value): &(String, String)| shapes::ClusterSetting {
        name: shapes::ClusterSettingName::parse(name),
        value: Some(value.clone()),
    };
    row.settings.iter().map(setting).collect()
}

/// The counts by launch type: those of instances, then those of Fargate. None are external.
fn statistics(view: &impl View, tables: &Tables, key: &ClusterKey) -> Vec<shapes::KeyValuePair> {
    let tasks = |status: TaskStatus| {
        let with = (key.clone(), status);
        let rows = view.index(&tables.live, &with);
        by_type(rows.map(|(_, row)| row.fargate.is_some()))
    };
    let services = |status: ServiceStatus| {
        let with = (key.clone(), status);
        let rows = view.index(&tables.services.by_status, &with);
        by_type(rows.map(|(_, row)| row.capacity.is_fargate()))
    };
    let waiting = [TaskStatus::Provisioning, TaskStatus::Pending, TaskStatus::Activating];
    let pending = waiting
        .map(tasks)
        .into_iter()
        .fold([0, 0], |sum, [ec2, fargate]| [sum[0] + ec2, sum[1] + fargate]);
    let counts = [
        ("running", "TasksCount", tasks(TaskStatus::Running)),
        ("pending", "TasksCount", pending),
        ("active", "ServiceCount", services(ServiceStatus::Active)),
        ("draining", "ServiceCount", services(ServiceStatus::Draining)),
    ];
    let pairs = counts.into_iter().flat_map(|(state, what, [ec2, fargate])| {
        let of = [("EC2", ec2), ("Fargate", fargate), ("External", 0)];
        of.map(|(kind, count)| shapes::KeyValuePair {
            name: Some(format!("{state}{kind}{what}")),
            value: Some(count.to_string()),
        })
    });
    pairs.collect()
}

/// How many are not on Fargate, and how many are.
fn by_type(on_fargate: impl Iterator<Item = bool>) -> [usize; 2] {
    on_fargate.fold([0, 0], |[ec2, fargate], is_it| match is_it {
        false => [ec2 + 1, fargate],
        true => [ec2, fargate + 1],
    })
}
