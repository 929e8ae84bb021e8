//! DescribeContainerInstances (ECS semantics §4).

use shapes_ecs as shapes;
use wire::Context;

use super::super::target::Target;
use super::super::{Api, arn_of, missing, target};
use super::{health, held, show, version};
use crate::error::Error;

/// Most instances that one request may describe.
const MAX_DESCRIBED: usize = 100;

impl Api {
    /// Describes instances; unknown ones are failures.
    pub(crate) async fn describe_container_instances(
        &self,
        context: Context,
        input: shapes::DescribeContainerInstancesRequest,
    ) -> Result<shapes::DescribeContainerInstancesResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let wanted = &input.container_instances;
        if wanted.is_empty() {
            return Err(Error::client("Container Instances cannot be empty."));
        }
        if wanted.len() > MAX_DESCRIBED {
            // Observed on ECS.
            return Err(Error::invalid("instanceIds can have at most 100 items."));
        }
        let asked = |word: &str| input.include.iter().flatten().any(|one| one.as_str() == word);
        let (with_tags, with_health) = (asked("TAGS"), asked("CONTAINER_INSTANCE_HEALTH"));
        let (mut instances, mut failures) = (Vec::new(), Vec::new());
        for text in wanted {
            let row = match target::instance(&cluster, text)? {
                Target::Id(id) => snapshot.get(&self.tables.instances, &cluster.instance(id)),
                Target::Unknown => None,
            };
            let Some(row) = row else {
                failures.push(missing(arn_of(&cluster, "container-instance", text)));
                continue;
            };
            let tasks = held(&snapshot, &self.tables, &cluster.instance(row.arn.id));
            let version = version(&snapshot, &self.tables, &row, &tasks);
            let mut shown = show(&row, &tasks, with_tags, Some(version));
            if with_health {
                let checks = self.sessions.checks(&row.arn);
                shown.health_status = Some(health::status(row.agent.connected, &checks));
            }
            instances.push(shown);
        }
        Ok(shapes::DescribeContainerInstancesResponse {
            container_instances: Some(instances),
            failures: Some(failures),
        })
    }
}
