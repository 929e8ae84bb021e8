//! What requests mean by a name, an id or an ARN.

use ledger::{Row, View};
use terms::{
    ClusterArn, ContainerInstanceArn, ContainerInstanceId, Family, Region, ServiceArn, TaskArn,
    TaskDefinitionArn, TaskId,
};
use wire::Context;

use crate::error::Error;
use crate::model::{Cluster, ClusterStatus, TaskDefinition};
use crate::tables::{ClusterKey, Scope, ServiceKey, Tables, service_key};

/// Lengths that ids of tasks and instances may have: today's, and the old one with dashes.
const ID_LENGTHS: [usize; 2] = [32, 36];

/// Where a caller looks.
pub(crate) fn scope(context: &Context) -> Scope {
    Scope { account: context.caller.account.clone(), region: context.caller.region.clone() }
}

/// The key that a cluster's name or ARN means; nothing means `default`.
pub(crate) fn cluster(scope: &Scope, text: Option<&str>) -> Result<ClusterKey, Error> {
    let text = text.unwrap_or("");
    let name = if text.is_empty() {
        Ok(terms::ClusterName::default())
    } else if text.starts_with("arn:") {
        let arn: ClusterArn = text.parse().map_err(|_| Error::ClusterNotFound)?;
        let here = arn.account == scope.account && arn.region == scope.region;
        here.then_some(arn.name).ok_or(())
    } else {
        text.parse().map_err(drop)
    };
    name.map(|name| scope.cluster(name)).map_err(|()| Error::ClusterNotFound)
}

/// A cluster that exists and was not deleted.
pub(crate) fn active_cluster(
    view: &impl View,
    tables: &Tables,
    key: &ClusterKey,
) -> Result<Row<Cluster>, Error> {
    let row = view.get(&tables.clusters, key).ok_or(Error::ClusterNotFound)?;
    match row.status {
        ClusterStatus::Active => Ok(row),
        ClusterStatus::Inactive => Err(Error::ClusterInactive),
    }
}

/// What an id or ARN may turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<T> {
    /// An id.
    Id(T),
    /// Well formed, but nothing of ours can have it.
    Unknown,
}

/// The task that an id or ARN means in `cluster`.
///
/// # Errors
/// When it is neither, or names another cluster.
pub(crate) fn task(cluster: &ClusterKey, text: &str) -> Result<Target<TaskId>, Error> {
    if !text.starts_with("arn:") {
        return id(text, "taskId");
    }
    match text.parse::<TaskArn>() {
        Ok(arn) => check_cluster(cluster, arn.cluster.as_str()).map(|()| {
            let here = arn.account == cluster.scope.account && arn.region == cluster.scope.region;
            if here { Target::Id(arn.id) } else { Target::Unknown }
        }),
        Err(_) => Err(Error::invalid(format!("Invalid identifier: {text}"))),
    }
}

/// The instance that an id or ARN means in `cluster`.
///
/// # Errors
/// When it is neither, or names another cluster.
pub(crate) fn instance(
    cluster: &ClusterKey,
    text: &str,
) -> Result<Target<ContainerInstanceId>, Error> {
    if !text.starts_with("arn:") {
        return id(text, "instanceId");
    }
    match text.parse::<ContainerInstanceArn>() {
        Ok(arn) => check_cluster(cluster, arn.cluster.as_str()).map(|()| {
            let here = arn.account == cluster.scope.account && arn.region == cluster.scope.region;
            if here { Target::Id(arn.id) } else { Target::Unknown }
        }),
        Err(_) => Err(Error::invalid(format!("Invalid identifier: {text}"))),
    }
}

/// The service that a name or an ARN means in `cluster`; none, if nothing of ours can have it. An
/// ARN may have the short form, without the cluster (ECS semantics §2.1).
///
/// # Errors
/// When it is an ARN of something else, or names another cluster.
pub(crate) fn service(cluster: &ClusterKey, text: &str) -> Result<Option<ServiceKey>, Error> {
    if !text.starts_with("arn:") {
        return Ok(text.parse().ok().map(|name| (cluster.clone(), name)));
    }
    if let Ok(arn) = text.parse::<ServiceArn>() {
        check_cluster(cluster, arn.cluster.as_str())?;
        let key = service_key(&arn);
        return Ok(Some(key).filter(|key| key.0.scope == cluster.scope));
    }
    let wrong = || Error::invalid(format!("Invalid identifier: {text}"));
    let (scope, rest) = split(text, "service").ok_or_else(wrong)?;
    let name = rest.parse().map_err(|_| wrong())?;
    Ok((scope == cluster.scope).then(|| (cluster.clone(), name)))
}

/// The service and the last part of an ARN of something that belongs to a service, of this account
/// and region: `…:<kind>/<cluster>/<service>/<last part>`.
pub(crate) fn of_service<'a>(
    scope: &Scope,
    kind: &str,
    text: &'a str,
) -> Option<(ServiceKey, &'a str)> {
    let (found, rest) = split(text, kind)?;
    let mut parts = rest.splitn(3, '/');
    let (cluster, service, id) = (parts.next()?, parts.next()?, parts.next()?);
    let key = (scope.cluster(cluster.parse().ok()?), service.parse().ok()?);
    (found == *scope).then_some((key, id))
}

/// `arn:aws:ecs:<region>:<account>:<kind>/<rest>` split into where it is and the rest.
fn split<'a>(text: &'a str, kind: &str) -> Option<(Scope, &'a str)> {
    let mut fields = text.splitn(6, ':');
    let (arn, _partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let region: Region = fields.next()?.parse().ok()?;
    let account = fields.next()?.parse().ok()?;
    let rest = fields.next()?.strip_prefix(kind)?.strip_prefix('/')?;
    (arn == "arn" && service == "ecs").then_some((Scope { account, region }, rest))
}

fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<Target<T>, Error> {
    if !ID_LENGTHS.contains(&text.len()) {
        // Observed on ECS for ids of another length.
        return Err(Error::invalid(format!("{what} length should be one of [32,36]")));
    }
    Ok(text.parse().map_or(Target::Unknown, Target::Id))
}

fn check_cluster(cluster: &ClusterKey, named: &str) -> Result<(), Error> {
    if cluster.name.as_str() == named {
        return Ok(());
    }
    let ours = &cluster.name;
    let text =
        format!("Invalid identifier: Identifier is for cluster {named}. Your cluster is {ours}");
    Err(Error::invalid(text))
}

/// What a request calls a task definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefinitionName {
    /// A family: its newest ACTIVE revision is meant.
    Family(Family),
    /// One revision.
    Revision(Family, u32),
}

/// Reads `family`, `family:revision` or an ARN. An ARN without a revision means what the family
/// alone does: it is what rules of EventBridge and `arn_without_revision` of Terraform have.
///
/// # Errors
/// `None` when it is nothing of that, or lives elsewhere; each operation has its own text for that.
pub(crate) fn definition_name(scope: &Scope, text: &str) -> Option<DefinitionName> {
    if text.starts_with("arn:") {
        let here =
            |arn: &TaskDefinitionArn| arn.account == scope.account && arn.region == scope.region;
        if let Ok(arn) = text.parse::<TaskDefinitionArn>() {
            return here(&arn).then_some(DefinitionName::Revision(arn.family, arn.revision));
        }
        // Whatever is read so has a family and nothing after it.
        let arn: TaskDefinitionArn = format!("{text}:1").parse().ok()?;
        return here(&arn).then_some(DefinitionName::Family(arn.family));
    }
    match text.split_once(':') {
        None => text.parse().ok().map(DefinitionName::Family),
        Some((family, revision)) => {
            // A sign is no part of a number here, though `parse` would take it.
            let digits = revision.bytes().all(|byte| byte.is_ascii_digit());
            let revision = revision.parse().ok().filter(|&revision| digits && revision > 0)?;
            Some(DefinitionName::Revision(family.parse().ok()?, revision))
        }
    }
}

/// The task definition that is meant.
pub(crate) fn definition(
    view: &impl View,
    tables: &Tables,
    scope: &Scope,
    name: &DefinitionName,
) -> Option<Row<TaskDefinition>> {
    let (family, revision) = match name {
        DefinitionName::Revision(family, revision) => (family.clone(), *revision),
        DefinitionName::Family(family) => {
            let counter = view.get(&tables.families, &(scope.clone(), family.clone()))?;
            (family.clone(), counter.latest_active?)
        }
    };
    view.get(&tables.definitions, &(scope.clone(), family, revision))
}
