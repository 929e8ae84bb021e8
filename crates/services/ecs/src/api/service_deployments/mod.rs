//! Service deployments (ECS semantics §9): describe, list, stop, continue.

mod list;
mod show;
mod stop;

use ledger::{Row, View};
use shapes_ecs as shapes;
use wire::Context;

use super::{Api, missing, target};
use crate::error::Error;
use crate::model::{Deployment, ServiceDeploymentId};
use crate::tables::{DeploymentKey, Scope, ServiceKey, Tables};

/// Most service deployments that one request may describe (ECS semantics §1.1).
const MAX_DESCRIBED: usize = 20;

/// The ARN of a service deployment.
pub(crate) fn arn(key: &ServiceKey, id: &ServiceDeploymentId) -> String {
    let Scope { account, region } = &key.0.scope;
    format!("arn:aws:ecs:{region}:{account}:service-deployment/{}/{}/{id}", key.0.name, key.1)
}

/// The service and the id that an ARN means; no id, if it is none that we give out.
///
/// # Errors
/// When it is no ARN of a service deployment here. The text is made like that for revisions.
fn read(scope: &Scope, text: &str) -> Result<(ServiceKey, Option<ServiceDeploymentId>), Error> {
    let found = target::of_service(scope, "service-deployment", text);
    let (key, id) = found.ok_or_else(|| Error::invalid("The ServiceDeployment ARN is invalid."))?;
    Ok((key, id.parse().ok()))
}

/// The deployment behind a service deployment.
fn find(
    view: &impl View,
    tables: &Tables,
    (key, id): (&ServiceKey, &ServiceDeploymentId),
) -> Option<(DeploymentKey, Row<Deployment>)> {
    let index = &tables.services.deployments_by_arn;
    view.index(index, &(key.clone(), id.clone())).next()
}

impl Api {
    /// Describes service deployments; unknown ones are failures.
    pub(crate) async fn describe_service_deployments(
        &self,
        context: Context,
        input: shapes::DescribeServiceDeploymentsRequest,
    ) -> Result<shapes::DescribeServiceDeploymentsResponse, Error> {
        let arns = input.service_deployment_arns;
        if arns.is_empty() {
            return Err(Error::invalid("Service deployment ARNs can not be empty."));
        }
        if arns.len() > MAX_DESCRIBED {
            let text = format!("Service Deployment ARN count cannot exceed {MAX_DESCRIBED}");
            return Err(Error::invalid(text));
        }
        let scope = target::scope(&context);
        let asked = arns.iter().map(|text| Ok((text, read(&scope, text)?)));
        let asked = asked.collect::<Result<Vec<_>, Error>>()?;
        let snapshot = self.ledger.snapshot();
        let (mut deployments, mut failures) = (Vec::new(), Vec::new());
        for (text, (key, id)) in asked {
            target::active_cluster(&snapshot, &self.tables, &key.0)?;
            let found = id.and_then(|id| find(&snapshot, &self.tables, (&key, &id)));
            match found {
                Some((_, row)) => {
                    deployments.push(show::whole(&snapshot, &self.tables, &key, &row));
                }
                None => failures.push(missing(text.clone())),
            }
        }
        Ok(shapes::DescribeServiceDeploymentsResponse {
            service_deployments: Some(deployments),
            failures: Some(failures),
        })
    }
}
