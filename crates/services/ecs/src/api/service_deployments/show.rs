//! Service deployments as the API shows them.

use ledger::Snapshot;
use shapes_ecs as shapes;
use wire::value::Enumeration;

use super::super::service_revisions::arn as revision_arn;
use super::super::services::{configuration, kind, show as services};
use super::arn;
use crate::model::{Deployment, DeploymentStatus, HookRun, HookTarget, RevisionId, TaskCounts};
use crate::tables::{ServiceKey, Tables};

/// One line of a listing.
pub(super) fn brief(key: &ServiceKey, row: &Deployment) -> shapes::ServiceDeploymentBrief {
    shapes::ServiceDeploymentBrief {
        cluster_arn: Some(key.0.arn().to_string()),
        created_at: Some(row.created_at),
        finished_at: row.finished_at,
        service_arn: Some(key.0.service_arn(key.1.clone()).to_string()),
        service_deployment_arn: Some(arn(key, &row.service_deployment)),
        started_at: row.started_at,
        status: shapes::ServiceDeploymentStatus::parse(row.progress.as_str()),
        status_reason: row.progress_reason.clone(),
        target_service_revision_arn: Some(revision_arn(key, row.revision)),
    }
}

/// All of it.
pub(super) fn whole(
    view: &Snapshot,
    tables: &Tables,
    key: &ServiceKey,
    row: &Deployment,
) -> shapes::ServiceDeployment {
    let counts = services::count(view, tables, key);
    let of_revision = |id: RevisionId| {
        // What took part in a deployment that is over is counted no more: it is shown as it was.
        let open = view.index(&tables.services.open_deployments, key);
        let mut of_id = open.filter(|(_, one)| one.revision == id);
        let live = of_id.find(|(_, one)| one.status != DeploymentStatus::Inactive);
        let counted = live.map(|(_, one)| TaskCounts {
            requested: one.desired,
            ..counts.get(&one.id).copied().unwrap_or_default()
        });
        counted.unwrap_or_default()
    };
    let target = row.counts.unwrap_or_else(|| of_revision(row.revision));
    let sources = row.sources.iter().map(|&id| {
        let then = row.source_counts.iter().find(|(source, _)| *source == id);
        let counts = match row.progress.is_over() {
            true => then.map(|(_, counts)| *counts).unwrap_or_default(),
            false => of_revision(id),
        };
        summary(key, id, counts)
    });
    let service = view.get(&tables.services.rows, key);
    let configuration = service.map(|row| kind(&row));
    let configuration = configuration.map(|kind| configuration::show(kind, &row.configuration));
    let brief = brief(key, row);
    let rollback = row.rollback.as_ref().map(|rollback| shapes::Rollback {
        reason: Some(rollback.reason.clone()),
        service_revision_arn: Some(revision_arn(key, rollback.revision)),
        started_at: Some(rollback.started_at),
    });
    shapes::ServiceDeployment {
        alarms: alarms(row),
        cluster_arn: brief.cluster_arn,
        created_at: brief.created_at,
        deployment_circuit_breaker: Some(shapes::ServiceDeploymentCircuitBreaker {
            failure_count: Some(services::number(row.failed_tasks)),
            status: status(row.breaker.as_str()),
            threshold: Some(services::number(row.configuration.breaker.threshold.failures(row.of))),
        }),
        deployment_configuration: configuration,
        finished_at: brief.finished_at,
        lifecycle_stage: row.stage.and_then(|staged| {
            shapes::ServiceDeploymentLifecycleStage::parse(staged.stage.shown())
        }),
        lifecycle_hook_details: hooks(row),
        rollback,
        service_arn: brief.service_arn,
        service_deployment_arn: brief.service_deployment_arn,
        source_service_revisions: Some(sources.collect()),
        started_at: brief.started_at,
        status: brief.status,
        status_reason: brief.status_reason,
        stopped_at: row.stopped_at,
        target_service_revision: Some(match row.stage {
            None => summary(key, row.revision, target),
            Some(staged) => shapes::ServiceRevisionSummary {
                requested_production_traffic_weight: Some(f64::from(staged.production) / 10.0),
                requested_test_traffic_weight: Some(f64::from(staged.test) / 10.0),
                ..summary(key, row.revision, target)
            },
        }),
        updated_at: Some(row.updated_at),
    }
}

/// The hooks that are asked where the deployment is; none at all if it has none.
fn hooks(row: &Deployment) -> Option<Vec<shapes::DeploymentLifecycleHookDetail>> {
    let known = &row.configuration.hooks;
    let detail = |run: &HookRun| {
        let hook = known.get(usize::try_from(run.hook).ok()?)?;
        let target_arn = match &hook.target {
            HookTarget::Function(name) => Some(name.clone()),
            HookTarget::Pause => None,
        };
        Some(shapes::DeploymentLifecycleHookDetail {
            hook_id: Some(run.id()),
            target_type: Some(configuration::target_type(&hook.target)),
            target_arn,
            status: shapes::DeploymentLifecycleHookStatus::parse(run.status.as_str()),
            expires_at: Some(run.expires_at),
            timeout_action: Some(configuration::action(hook.action)),
        })
    };
    (!known.is_empty()).then(|| row.hooks.runs.iter().filter_map(detail).collect())
}

fn alarms(row: &Deployment) -> Option<shapes::ServiceDeploymentAlarms> {
    let alarms = row.configuration.alarms.as_ref()?;
    Some(shapes::ServiceDeploymentAlarms {
        alarm_names: Some(alarms.names.clone()),
        status: status(row.alarms.as_str()),
        triggered_alarm_names: Some(row.triggered.clone()),
    })
}

fn status(word: &str) -> Option<shapes::ServiceDeploymentRollbackMonitorsStatus> {
    shapes::ServiceDeploymentRollbackMonitorsStatus::parse(word)
}

fn summary(key: &ServiceKey, id: RevisionId, counts: TaskCounts) -> shapes::ServiceRevisionSummary {
    shapes::ServiceRevisionSummary {
        arn: Some(revision_arn(key, id)),
        pending_task_count: Some(services::number(counts.pending)),
        requested_task_count: Some(services::number(counts.requested)),
        running_task_count: Some(services::number(counts.running)),
        ..Default::default()
    }
}
