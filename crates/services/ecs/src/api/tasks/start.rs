//! StartTask (ECS semantics §5.4): tasks on the instances that the caller chose.

use placement::Reason;
use shapes_ecs as shapes;
use terms::{TaskArn, TaskId};
use wire::Context;

use super::super::target::Target;
use super::super::{Api, arn_of, missing, target};
use super::launch::{Launch, Template, definition};
use super::taken::Taken;
use super::{placement as wishes, show_started};
use crate::decide::placing;
use crate::error::Error;
use crate::model::{Explanation, Shared};
use crate::trace;

/// Most instances that one request may name.
const MAX_INSTANCES: usize = 10;

impl Api {
    /// Starts a task on each instance named, if it fits there. One that does not is a failure,
    /// not an error.
    pub(crate) async fn start_task(
        &self,
        context: Context,
        input: shapes::StartTaskRequest,
    ) -> Result<shapes::StartTaskResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let launch = Launch::from(&input);
        launch.check()?;
        let named = &input.container_instances;
        if named.is_empty() {
            return Err(Error::client("Container Instances cannot be empty."));
        }
        if named.len() > MAX_INSTANCES {
            let text = format!("instanceIds can have at most {MAX_INSTANCES} items.");
            return Err(Error::invalid(text));
        }
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let targets = named.iter().map(|text| Ok((text, target::instance(&cluster, text)?)));
        let targets = targets.collect::<Result<Vec<_>, Error>>()?;
        let definition = definition(&snapshot, &self.tables, &cluster, launch.definition)?;
        let template = Template::read(self, &snapshot, &cluster, &launch, definition)?;
        template.check_roles(self)?;
        let request = wishes::started(&template);
        let tables = self.tables;
        let done = self.ledger.transact("start task", |tx| {
            template.still_good(tx, &tables)?;
            let (mut tasks, mut failures, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
            let mut taken = Taken::default();
            for (text, target) in &targets {
                let known = match target {
                    Target::Id(id) => placing::look(&tx.facts(), &tables, &cluster, *id),
                    Target::Unknown => None,
                };
                let Some((row, mut instance)) = known else {
                    failures.push(missing(arn_of(&cluster, "container-instance", text)));
                    continue;
                };
                // It may be named more than once.
                for _ in chosen.iter().filter(|&&id| id == row.arn.id) {
                    instance.hold(&request.group, &request.demand);
                }
                match instance.check(&request) {
                    Ok(()) => {
                        let (id, told) = (TaskId::from_bytes(tx.next_id()), Explanation::default());
                        let told = Shared::from(told);
                        let task = template.start(
                            self,
                            tx,
                            id,
                            (&row, None),
                            &told,
                            &mut taken.devices,
                        )?;
                        tasks.push(show_started(&task));
                        chosen.push(row.arn.id);
                    }
                    Err(reason) => failures.push(failure(row.arn.to_string(), &reason)),
                }
            }
            taken.add(&cluster, &request, chosen);
            taken.guard(self, tx);
            Ok::<_, Error>((tasks, failures))
        });
        let (tasks, failures) = done.await?.value;
        let id = |task: &shapes::Task| task.task_arn.as_deref()?.parse::<TaskArn>().ok();
        trace::started(tasks.iter().filter_map(id).map(|arn| arn.id));
        Ok(shapes::StartTaskResponse { tasks: Some(tasks), failures: Some(failures) })
    }
}

fn failure(arn: String, reason: &Reason) -> shapes::Failure {
    let detail = Some(reason.to_string());
    shapes::Failure { arn: Some(arn), reason: Some(reason.code().to_owned()), detail }
}
