//! Service revisions (ECS semantics §9). The texts of refusals were observed on ECS.

use shapes_ecs as shapes;
use wire::Context;

use super::services::capacity;
use super::services::rules::balancers;
use super::{Api, missing, target};
use crate::error::Error;
use crate::model::{Revision, RevisionId, ServiceStatus};
use crate::tables::{Scope, ServiceKey};

/// Most revisions that one request may describe (ECS semantics §1.1).
const MAX_DESCRIBED: usize = 20;

/// The ARN of a revision.
pub(crate) fn arn(key: &ServiceKey, id: RevisionId) -> String {
    let Scope { account, region } = &key.0.scope;
    format!("arn:aws:ecs:{region}:{account}:service-revision/{}/{}/{id}", key.0.name, key.1)
}

impl Api {
    /// Describes revisions of one service; unknown ones are failures.
    pub(crate) async fn describe_service_revisions(
        &self,
        context: Context,
        input: shapes::DescribeServiceRevisionsRequest,
    ) -> Result<shapes::DescribeServiceRevisionsResponse, Error> {
        let asked = read(&target::scope(&context), &input.service_revision_arns)?;
        let (snapshot, tables) = (self.ledger.snapshot(), &self.tables);
        let (mut revisions, mut failures) = (Vec::new(), Vec::new());
        if let Some(key) = asked.first().map(|(_, key, _)| key) {
            target::active_cluster(&snapshot, tables, &key.0)?;
            let row = snapshot.get(&tables.services.rows, key).ok_or(Error::ServiceNotFound)?;
            if row.status == ServiceStatus::Inactive {
                return Err(Error::invalid(
                    "Cannot call DescribeServiceRevisions for a service that is INACTIVE",
                ));
            }
        }
        for (text, key, id) in asked {
            let row =
                id.and_then(|id| snapshot.get(&tables.services.revisions, &(key.clone(), id)));
            match row {
                Some(row) => revisions.push(show(&key, &row)),
                None => failures.push(missing(text.to_owned())),
            }
        }
        Ok(shapes::DescribeServiceRevisionsResponse {
            service_revisions: Some(revisions),
            failures: Some(failures),
        })
    }
}

/// A revision that is asked for: its ARN, its service, and its id if it is one that we give out.
type Asked<'a> = (&'a str, ServiceKey, Option<RevisionId>);

fn read<'a>(scope: &Scope, arns: &'a [String]) -> Result<Vec<Asked<'a>>, Error> {
    if arns.is_empty() {
        return Err(Error::invalid("The Service ARN provided is invalid."));
    }
    if arns.len() > MAX_DESCRIBED {
        let text = format!("Service Revision ARN count cannot exceed {MAX_DESCRIBED}");
        return Err(Error::invalid(text));
    }
    let wrong = || Error::invalid("The ServiceRevision ARN is invalid.");
    let mut asked: Vec<Asked<'a>> = Vec::new();
    for text in arns {
        let (key, id) = target::of_service(scope, "service-revision", text).ok_or_else(wrong)?;
        if !id.bytes().all(|byte| byte.is_ascii_digit()) || id.is_empty() {
            return Err(wrong());
        }
        if asked.first().is_some_and(|(_, first, _)| *first != key) {
            return Err(Error::invalid(
                "Cross service requests are not allowed. All requested service revisions must be \
                 for a single service",
            ));
        }
        asked.push((text, key, id.parse().ok()));
    }
    Ok(asked)
}

fn show(key: &ServiceKey, row: &Revision) -> shapes::ServiceRevision {
    let (launch_type, capacity_provider_strategy) = capacity::show(&row.workload.capacity);
    let (platform_family, platform_version) = capacity::show_platform(&row.workload);
    let image = |image: &crate::model::RevisionImage| shapes::ContainerImage {
        container_name: Some(image.container.clone()),
        image: Some(image.image.clone()),
        image_digest: image.digest.clone(),
    };
    shapes::ServiceRevision {
        capacity_provider_strategy,
        cluster_arn: Some(key.0.arn().to_string()),
        container_images: Some(row.images.iter().map(image).collect()),
        created_at: Some(row.created_at),
        guard_duty_enabled: Some(false),
        launch_type,
        load_balancers: Some(balancers::show(&row.workload.balanced)),
        network_configuration: row.workload.network.as_deref().cloned(),
        volume_configurations: row.workload.volume.as_deref().map(|one| vec![one.clone()]),
        platform_family,
        platform_version,
        service_arn: Some(key.0.service_arn(key.1.clone()).to_string()),
        service_registries: Some(Vec::new()),
        service_revision_arn: Some(arn(key, row.id)),
        task_definition: Some(row.workload.definition.to_string()),
        ..Default::default()
    }
}
