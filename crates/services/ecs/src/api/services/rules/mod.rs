//! What ECS asks of a service, whatever there is: pure rules over shapes.
//!
//! Each refuses with ECS's type of error and, where one is known, its text. Known are those that
//! clients were seen to get: Terraform's and the CDK's issues, `badmintoncryer/cdk-preflight`,
//! `radkawar/stackd`. The others are made in their style.

pub(in crate::api) mod balancers;
pub(in crate::api) mod counts;
pub(in crate::api) mod deployment;
pub(in crate::api) mod early;
pub(in crate::api) mod external;
pub(in crate::api) mod hooks;
pub(in crate::api) mod placement;
pub(in crate::api) mod strategy;
pub(in crate::api) mod unbuilt;
pub(in crate::api) mod zones;

use shapes_ecs as shapes;
use shapes_ecs::{DeploymentControllerType as Controller, SchedulingStrategy as Scheduling};

use crate::error::Error;

/// What decides which rules a service is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Kind {
    /// REPLICA or DAEMON.
    pub(in crate::api) scheduling: Scheduling,
    /// ECS or EXTERNAL.
    pub(in crate::api) controller: Controller,
}

impl Kind {
    /// Reads what CreateService says of it.
    ///
    /// # Errors
    /// For DAEMON under another controller than ECS, and for CODE_DEPLOY, which is not built.
    pub(in crate::api) fn read(
        operation: &'static str,
        scheduling: Option<Scheduling>,
        controller: Option<&shapes::DeploymentController>,
    ) -> Result<Self, Error> {
        let scheduling = scheduling.unwrap_or(Scheduling::Replica);
        let controller = controller.map_or(Controller::Ecs, |one| one.type_);
        match (scheduling, controller) {
            (Scheduling::Daemon, Controller::CodeDeploy | Controller::External) => {
                let controller = wire::value::Enumeration::as_str(controller);
                Err(Error::invalid(format!(
                    "The daemon scheduling strategy does not support the {controller} deployment \
                     controller. Change the deployment controller type and try again"
                )))
            }
            (Scheduling::Replica, Controller::CodeDeploy) => {
                Err(Error::not_built(operation, "deploymentController CODE_DEPLOY"))
            }
            (_, Controller::Ecs | Controller::External) => Ok(Self { scheduling, controller }),
        }
    }

    /// Whether it runs one task on each instance.
    pub(in crate::api) fn is_daemon(self) -> bool {
        self.scheduling == Scheduling::Daemon
    }

    /// Whether its tasks are in task sets.
    pub(in crate::api) fn is_external(self) -> bool {
        self.controller == Controller::External
    }
}

/// Whether a list says something.
fn some<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

#[cfg(test)]
pub(super) mod kinds {
    use super::*;

    pub(crate) const REPLICA: Kind =
        Kind { scheduling: Scheduling::Replica, controller: Controller::Ecs };
    pub(crate) const DAEMON: Kind =
        Kind { scheduling: Scheduling::Daemon, controller: Controller::Ecs };
    pub(crate) const EXTERNAL: Kind =
        Kind { scheduling: Scheduling::Replica, controller: Controller::External };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_go_together() {
        let check = |scheduling, controller: Option<Controller>, expected: Option<Kind>| {
            let given = controller.map(|type_| shapes::DeploymentController { type_ });
            let read = Kind::read("CreateService", scheduling, given.as_ref());
            assert_eq!(read.ok(), expected, "{scheduling:?} {controller:?}");
        };
        check(None, None, Some(kinds::REPLICA));
        check(Some(Scheduling::Replica), Some(Controller::Ecs), Some(kinds::REPLICA));
        check(Some(Scheduling::Daemon), None, Some(kinds::DAEMON));
        check(None, Some(Controller::External), Some(kinds::EXTERNAL));
        check(None, Some(Controller::CodeDeploy), None);
        check(Some(Scheduling::Daemon), Some(Controller::External), None);
        check(Some(Scheduling::Daemon), Some(Controller::CodeDeploy), None);
    }
}
