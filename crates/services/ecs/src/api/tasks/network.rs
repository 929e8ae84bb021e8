//! What a launched task gets of the network: checked, resolved, attached.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::{Tx, View};
use shapes_ecs as shapes;

use super::super::Api;
use super::launch::Launch;
use crate::error::Error;
use crate::model::{ContainerInstance, NetworkMode, Task, TaskDefinition};
use crate::tables::Scope;

/// What a request wants of the network, checked and resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    /// The zones that the task can be in; any, if none are named.
    zones: Option<BTreeSet<Arc<str>>>,
}

impl Network {
    /// Reads `networkConfiguration` against the definition's network mode.
    pub(super) fn read(
        _api: &Api,
        _view: &impl View,
        _scope: &Scope,
        launch: &Launch<'_>,
        definition: &TaskDefinition,
    ) -> Result<Self, Error> {
        check(launch.operation, definition.network_mode, launch.network)?;
        Ok(Self::default())
    }

    /// The zones that the task can be placed in; any, if none are named.
    pub(super) fn zones(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.zones.as_ref()
    }

    /// Gives `task`, which is about to be written, what it wants on `instance`. Part of the
    /// transaction that makes the task, so it may run more than once.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "awsvpc fails and reads")]
    pub(super) fn attach(
        &self,
        _api: &Api,
        _tx: &mut Tx<'_>,
        _task: &mut Task,
        _instance: &ContainerInstance,
    ) -> Result<(), Error> {
        Ok(())
    }
}

fn check(
    operation: &'static str,
    mode: NetworkMode,
    configuration: Option<&shapes::NetworkConfiguration>,
) -> Result<(), Error> {
    match (mode, configuration) {
        (NetworkMode::Awsvpc, None) => Err(Error::invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )),
        (NetworkMode::Awsvpc, Some(_)) => Err(Error::not_built(operation, "networkMode awsvpc")),
        (_, Some(_)) => Err(Error::invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        (_, None) => Ok(()),
    }
}
