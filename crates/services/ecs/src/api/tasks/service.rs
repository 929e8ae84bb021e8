//! Tasks that services will start: whether they could be, as the service says it.

use ledger::{Row, View};
use shapes_ecs as shapes;

use super::super::Api;
use super::disks;
use super::launch::{Launch, Template};
use crate::error::Error;
use crate::model::{Platform, TaskDefinition};
use crate::tables::ClusterKey;

/// Checks that tasks of a definition can be started in a network and with volumes.
///
/// # Errors
/// Those that starting one would have whatever the instance: of the network, of what is not built.
pub(in crate::api) fn check_for_service(
    api: &Api,
    view: &impl View,
    cluster: &ClusterKey,
    (operation, network, volumes): (
        &'static str,
        Option<&shapes::NetworkConfiguration>,
        &[shapes::ServiceVolumeConfiguration],
    ),
    platform: Option<Platform>,
    definition: Row<TaskDefinition>,
) -> Result<(), Error> {
    let volumes: Vec<_> = volumes.iter().map(disks::of_service).collect();
    let launch = Launch {
        operation,
        definition: "",
        group: None,
        started_by: None,
        started_by_max: usize::MAX,
        overrides: None,
        network,
        volumes: &volumes,
        execute_command: false,
        tags: &[],
        propagate_tags: None,
        managed_tags: false,
        platform,
    };
    Template::read(api, view, cluster, &launch, definition).map(drop)
}
