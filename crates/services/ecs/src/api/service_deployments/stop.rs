//! StopServiceDeployment and ContinueServiceDeployment.

use shapes_ecs as shapes;
use shapes_ecs::{
    DeploymentLifecycleHookAction as Action, StopServiceDeploymentStopType as StopType,
};
use wire::Context;

use super::super::{Api, target};
use super::{arn, find, read};
use crate::error::Error;
use crate::model::{Deployment, HookStatus, Progress, ProgressChange};

impl Api {
    /// Asks for the end of a service deployment: that the service goes back to what it was
    /// (ROLLBACK, which is what is done if nothing is said), or that it is left as it is (ABORT).
    /// The scheduler does it.
    pub(crate) async fn stop_service_deployment(
        &self,
        context: Context,
        input: shapes::StopServiceDeploymentRequest,
    ) -> Result<shapes::StopServiceDeploymentResponse, Error> {
        let scope = target::scope(&context);
        let (service, id) = read(&scope, &input.service_deployment_arn)?;
        let id = id.ok_or(Error::ServiceDeploymentNotFound)?;
        let (event, why) = match input.stop_type.unwrap_or(StopType::Rollback) {
            StopType::Rollback => {
                (ProgressChange::RollbackRequested, "Rollback requested by user.")
            }
            StopType::Abort => (ProgressChange::StopRequested, "Stop requested by user."),
        };
        let tables = self.tables;
        let stopped = self.ledger.transact("stop service deployment", |tx| {
            let found = find(tx, &tables, (&service, &id));
            let (key, row) = found.ok_or(Error::ServiceDeploymentNotFound)?;
            let progress = row.progress.next(event).map_err(|_| {
                let status = row.progress.as_str();
                Error::Conflict(format!(
                    "The service deployment cannot be stopped: its status is {status}."
                ))
            })?;
            if progress != row.progress {
                let mut next = Deployment::clone(&row);
                next.progress = progress;
                next.progress_reason = Some(why.to_owned());
                next.stopped_at.get_or_insert(tx.now());
                next.updated_at = tx.now();
                tx.put(&tables.services.deployments, key, next);
            }
            Ok::<_, Error>(())
        });
        stopped.await?;
        let service_deployment_arn = Some(arn(&service, &id));
        Ok(shapes::StopServiceDeploymentResponse { service_deployment_arn })
    }

    /// Lets a deployment go on that a hook paused, or has the service go back.
    pub(crate) async fn continue_service_deployment(
        &self,
        context: Context,
        input: shapes::ContinueServiceDeploymentRequest,
    ) -> Result<shapes::ContinueServiceDeploymentResponse, Error> {
        let scope = target::scope(&context);
        let (service, id) = read(&scope, &input.service_deployment_arn)?;
        let id = id.ok_or(Error::ServiceDeploymentNotFound)?;
        let (hook, action) = (input.hook_id, input.action.unwrap_or(Action::Continue));
        let tables = self.tables;
        let said = self.ledger.transact("continue service deployment", |tx| {
            let found = find(tx, &tables, (&service, &id));
            let (key, row) = found.ok_or(Error::ServiceDeploymentNotFound)?;
            let mut next = Deployment::clone(&row);
            let is_asked = row.progress == Progress::InProgress;
            let run = next.hooks.find(&hook).filter(|_| is_asked);
            let run = run.filter(|run| run.status == HookStatus::AwaitingAction);
            let run = run.ok_or_else(|| {
                Error::invalid(format!(
                    "The service deployment has no lifecycle hook '{hook}' that awaits an action."
                ))
            })?;
            match action {
                Action::Continue => run.end(HookStatus::Succeeded, None),
                Action::Rollback => {
                    run.end(HookStatus::Failed, Some("a user asked for a rollback".to_owned()));
                }
            }
            next.updated_at = tx.now();
            tx.put(&tables.services.deployments, key, next);
            Ok::<_, Error>(())
        });
        said.await?;
        let service_deployment_arn = Some(arn(&service, &id));
        Ok(shapes::ContinueServiceDeploymentResponse { service_deployment_arn })
    }
}
