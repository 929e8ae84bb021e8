//! DescribeTaskSets.

use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, missing, target};
use super::{id_of, service, show};
use crate::error::Error;
use crate::tables::Scope;

impl Api {
    /// Describes task sets of a service: those that are named, or all. Unknown ones are failures.
    pub(crate) async fn describe_task_sets(
        &self,
        context: Context,
        input: shapes::DescribeTaskSetsRequest,
    ) -> Result<shapes::DescribeTaskSetsResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let (snapshot, tables) = (self.ledger.snapshot(), &self.tables);
        let (key, row) = service(&snapshot, tables, &cluster, &input.service)?;
        let asked = |field: &shapes::TaskSetField| *field == shapes::TaskSetField::Tags;
        let with_tags = input.include.iter().flatten().any(asked);
        let all = || show::of_service(&snapshot, tables, &key, &row, with_tags);
        let Some(named) = input.task_sets.filter(|named| !named.is_empty()) else {
            let task_sets = Some(all());
            return Ok(shapes::DescribeTaskSetsResponse { task_sets, failures: Some(Vec::new()) });
        };
        let (all, mut task_sets, mut failures) = (all(), Vec::new(), Vec::new());
        for text in named {
            let id = id_of(&key, &text).map(|id| id.to_string());
            match all.iter().find(|set| id.is_some() && set.id == id) {
                Some(set) => task_sets.push(set.clone()),
                None => failures.push(missing(arn_of(&key.0.scope, &key, text))),
            }
        }
        Ok(shapes::DescribeTaskSetsResponse {
            task_sets: Some(task_sets),
            failures: Some(failures),
        })
    }
}

/// The ARN that a failure names.
fn arn_of(scope: &Scope, key: &crate::tables::ServiceKey, text: String) -> String {
    if text.starts_with("arn:") {
        return text;
    }
    let Scope { account, region } = scope;
    format!("arn:aws:ecs:{region}:{account}:task-set/{}/{}/{text}", key.0.name, key.1)
}
