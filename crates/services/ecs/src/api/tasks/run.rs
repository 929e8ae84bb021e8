//! RunTask (ECS semantics §5.4, §6).

use placement::Refusal;
use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, target};
use super::launch::{Launch, Template};
use super::token::Token;
use super::{placement as wishes, show, unbuilt};
use crate::decide::placing;
use crate::error::Error;
use crate::tables::ClusterKey;

/// How many tasks one request may start.
const TASKS: std::ops::RangeInclusive<i32> = 1..=10;
/// Most entries of `failures[]`.
const MAX_FAILURES: usize = 100;

/// What the transaction answers.
struct Answer {
    tasks: Vec<shapes::Task>,
    failures: Vec<shapes::Failure>,
}

impl Api {
    /// Starts tasks where they fit. Those that fit nowhere are failures, not errors.
    pub(crate) async fn run_task(
        &self,
        context: Context,
        input: shapes::RunTaskRequest,
    ) -> Result<shapes::RunTaskResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let token = Token::read(&input)?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let count = count(input.count)?;
        unbuilt::launch(&input)?;
        let template = Template::read(self, &snapshot, &cluster, &Launch::from(&input))?;
        let request = wishes::request(&input, &template, count)?;
        let (tables, seed) = (self.tables, self.seed());
        let mut runs = 0;
        let done = self.ledger.transact("run task", |tx| {
            runs += 1;
            if let Some(token) = &token
                && let Some(tasks) = token.repeated(tx, &tables, &cluster)?
            {
                return Ok(Answer { tasks, failures: Vec::new() });
            }
            template.still_good(tx, &tables)?;
            // Planned on what is durable now; only what was chosen is read by the transaction.
            let fleet = placing::fleet(&self.ledger.snapshot(), &tables, &cluster);
            if fleet.is_empty() {
                return Err(Error::invalid("No Container Instances were found in your cluster."));
            }
            let placed = placing::place(tx, &tables, &cluster, fleet, &request, seed);
            let told = placing::explain(&placed, &request, &cluster, runs - 1);
            let (mut tasks, mut ids) = (Vec::new(), Vec::new());
            for &id in &placed.placement.placed {
                let instance = tx.get(&tables.instances, &cluster.instance(id));
                let instance = instance.ok_or_else(|| Error::client("An instance went away."))?;
                let task = template.start(self, tx, &instance, &told)?;
                ids.push(task.arn.id);
                tasks.push(show(&task, true));
            }
            if let Some(token) = &token {
                token.remember(tx, &tables, &cluster, ids);
            }
            Ok(Answer { tasks, failures: failures(&cluster, &placed.placement.shortage) })
        });
        let Answer { tasks, failures } = done.await?.value;
        Ok(shapes::RunTaskResponse { tasks: Some(tasks), failures: Some(failures) })
    }

    /// A number for placement's chances.
    fn seed(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.ids.next();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

fn count(count: Option<i32>) -> Result<u32, Error> {
    let count = count.unwrap_or(1);
    let good = TASKS.contains(&count).then_some(count).and_then(|count| u32::try_from(count).ok());
    good.ok_or_else(|| Error::invalid("Count should be between 1 and 10."))
}

fn failures(cluster: &ClusterKey, refusals: &[Refusal]) -> Vec<shapes::Failure> {
    let failure = |refusal: &Refusal| shapes::Failure {
        arn: Some(cluster.instance_arn(refusal.instance).to_string()),
        reason: Some(refusal.reason.code().to_owned()),
        detail: Some(refusal.reason.to_string()),
    };
    refusals.iter().take(MAX_FAILURES).map(failure).collect()
}
