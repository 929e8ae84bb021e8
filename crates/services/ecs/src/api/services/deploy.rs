//! How a deployment begins: its rows, and the service's that it becomes the current one of.

use ledger::{Tx, View};
use shapes_ecs::VersionConsistency;

use crate::model::{
    Consistency, Deployment, DeploymentId, DeploymentStatus, Resolution, Revision, RevisionId,
    RevisionImage, Service, ServiceDeploymentId, TaskDefinition, Workload,
};
use crate::tables::{ServiceKey, Tables};

/// Writes a new deployment of `service`, which is yet to be written, and the revision that it
/// brings. What it takes the place of is told so; a revision has the digits of its deployment
/// (observed on ECS).
pub(in crate::api) fn begin(
    tx: &mut Tx<'_>,
    tables: &Tables,
    key: &ServiceKey,
    service: &mut Service,
    workload: Workload,
    definition: &TaskDefinition,
) {
    let (of, now) = (&tables.services, tx.now());
    let id = DeploymentId::from_bytes(tx.next_id());
    let revision = Revision {
        id: RevisionId::from_digits(id.digits()),
        workload,
        images: images(definition),
        resolution: Resolution::default(),
        created_at: now,
    };
    let open: Vec<_> = tx.index(&of.open_deployments, key).collect();
    let sources = open.iter().filter(|(_, row)| row.status != DeploymentStatus::Inactive);
    let is_alternate = side(tx, tables, key, service);
    let mut deployment = Deployment::new(
        id,
        ServiceDeploymentId::from_bytes(tx.next_id()),
        revision.id,
        sources.map(|(_, row)| row.revision).collect(),
        service.configuration.clone(),
        service.desired,
        now,
    );
    deployment.is_alternate = is_alternate;
    for (key, row) in open {
        if row.status == DeploymentStatus::Primary {
            tx.put(&of.deployments, key, row.replaced(now));
        }
    }
    tx.put(&of.revisions, (key.clone(), revision.id), revision);
    tx.put(&of.deployments, (key.clone(), id), deployment);
    service.primary = Some(id);
}

/// In which target groups the tasks of a new deployment are: where those of the last good one are not,
/// if both are to stand side by side, else where they are.
fn side(tx: &Tx<'_>, tables: &Tables, key: &ServiceKey, service: &Service) -> bool {
    let good = tx.index(&tables.services.completed, key).last();
    let primary = service.primary.and_then(|id| {
        let row = tx.get(&tables.services.deployments, &(key.clone(), id))?;
        Some(row.is_alternate)
    });
    match (good, service.configuration.strategy.is_side_by_side()) {
        (Some((_, row)), true) => !row.is_alternate,
        (Some((_, row)), false) => row.is_alternate,
        (None, _) => primary.unwrap_or(false),
    }
}

fn images(definition: &TaskDefinition) -> Vec<RevisionImage> {
    let containers = definition.document.container_definitions.iter().flatten();
    let image = |one: &shapes_ecs::ContainerDefinition| RevisionImage {
        container: one.name.clone().unwrap_or_default(),
        image: one.image.clone().unwrap_or_default(),
        digest: None,
        consistency: match one.version_consistency {
            None => Consistency::Unsaid,
            Some(VersionConsistency::Enabled) => Consistency::Enabled,
            Some(VersionConsistency::Disabled) => Consistency::Disabled,
        },
    };
    containers.map(image).collect()
}

/// What the current deployment of a service brings.
pub(in crate::api) fn current(
    view: &impl View,
    tables: &Tables,
    key: &ServiceKey,
    service: &Service,
) -> Option<ledger::Row<Revision>> {
    let id = (key.clone(), service.primary?);
    let deployment = view.get(&tables.services.deployments, &id)?;
    view.get(&tables.services.revisions, &(key.clone(), deployment.revision))
}
