//! Task sets of services that somebody else deploys (ECS semantics §11).

mod change;
mod create;
mod describe;
mod show;

pub(super) use self::show::of_service;

use ledger::{Row, View};

use super::services;
use super::target;
use crate::error::Error;
use crate::model::{DeploymentController, DeploymentId, Service, TaskSet};
use crate::tables::{ClusterKey, Scope, ServiceKey, Tables, TaskSetKey};

/// The ARN of a task set.
pub(crate) fn arn(key: &ServiceKey, id: DeploymentId) -> String {
    let Scope { account, region } = &key.0.scope;
    format!("arn:aws:ecs:{region}:{account}:task-set/{}/{}/{id}", key.0.name, key.1)
}

/// The id that an id or an ARN means in a service; none, if it is none that we give out, or of
/// another service.
fn id_of(key: &ServiceKey, text: &str) -> Option<DeploymentId> {
    if !text.starts_with("arn:") {
        return text.parse().ok();
    }
    let (service, id) = target::of_service(&key.0.scope, "task-set", text)?;
    (service == *key).then_some(())?;
    id.parse().ok()
}

/// An ACTIVE service that has task sets.
///
/// # Errors
/// When it has none, or is not ACTIVE, or not there.
fn service(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    text: &str,
) -> Result<(ServiceKey, Row<Service>), Error> {
    let (key, row) = services::find_active(view, tables, cluster, text)?;
    match row.controller {
        DeploymentController::External => Ok((key, row)),
        DeploymentController::Ecs => Err(Error::invalid(
            "Task sets are only supported for services with the EXTERNAL deployment controller.",
        )),
    }
}

/// A task set of a service.
///
/// # Errors
/// When there is no such task set.
fn find(
    view: &impl View,
    tables: &Tables,
    service: &ServiceKey,
    text: &str,
) -> Result<(TaskSetKey, Row<TaskSet>), Error> {
    let id = id_of(service, text).ok_or(Error::TaskSetNotFound)?;
    let key = (service.clone(), id);
    let row = view.get(&tables.services.task_sets, &key).ok_or(Error::TaskSetNotFound)?;
    Ok((key, row))
}

/// The percentage of a scale, which is all if none is given.
///
/// # Errors
/// When it is not 0 to 100.
fn percent(scale: Option<&shapes_ecs::Scale>) -> Result<f64, Error> {
    let value = scale.and_then(|scale| scale.value).unwrap_or(100.0);
    // What is no number is in no range.
    let good = (0.0..=100.0).contains(&value);
    good.then_some(value).ok_or_else(|| Error::invalid("Scale value must be between 0 and 100."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_percentages() {
        let check = |value: Option<f64>, expected: Option<f64>| {
            let scale = value.map(|value| shapes_ecs::Scale { unit: None, value: Some(value) });
            assert_eq!(percent(scale.as_ref()).ok(), expected, "{value:?}");
        };
        check(None, Some(100.0));
        check(Some(0.0), Some(0.0));
        check(Some(33.3), Some(33.3));
        check(Some(100.0), Some(100.0));
        check(Some(100.1), None);
        check(Some(-0.1), None);
        check(Some(f64::NAN), None);
    }
}
