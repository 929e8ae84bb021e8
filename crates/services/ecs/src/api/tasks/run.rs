//! RunTask (ECS semantics §5.4, §6).

use ledger::{Snapshot, Tx};
use placement::{Refusal, Request};
use shapes_ecs as shapes;
use terms::TaskId;
use wire::Context;

use super::super::{Api, target};
use super::capacity::Capacity;
use super::devices::Devices;
use super::launch::{Launch, Template, definition};
use super::token::Token;
use super::{placement as wishes, show_started};
use crate::error::Error;
use crate::model::{Shared, Task};
use crate::placing::Plan;
use crate::tables::{ClusterKey, Scope};
use crate::trace;

/// How many tasks one request may start.
const TASKS: std::ops::RangeInclusive<i32> = 1..=10;
/// Most entries of `failures[]`.
const MAX_FAILURES: usize = 100;

/// A request, checked for itself.
pub(super) struct Asked<'a> {
    /// Where.
    pub(super) cluster: ClusterKey,
    token: Option<Token>,
    count: u32,
    launch: Launch<'a>,
    capacity: Capacity<'a>,
}

/// What came of a request.
struct Launched {
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
        let asked = self.read_run_task(&target::scope(&context), &input)?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &asked.cluster)?;
        let token = asked.token.as_ref();
        let known = token.map(|token| token.repeated(&snapshot, &self.tables, context.now));
        if let Some(tasks) = known.transpose()?.flatten() {
            return Ok(shapes::RunTaskResponse { tasks: Some(tasks), failures: Some(Vec::new()) });
        }
        let (template, request) = self.ready(&snapshot, &asked, &input)?;
        let launched = self.launch(&asked.cluster, &template, &request, token).await?;
        let Launched { tasks, failures } = launched;
        Ok(shapes::RunTaskResponse { tasks: Some(tasks), failures: Some(failures) })
    }

    /// Reads what needs nothing but the request.
    pub(super) fn read_run_task<'a>(
        &self,
        scope: &Scope,
        input: &'a shapes::RunTaskRequest,
    ) -> Result<Asked<'a>, Error> {
        let cluster = target::cluster(scope, input.cluster.as_deref())?;
        let token = Token::read(&cluster, input)?;
        let count = count(input.count)?;
        let (launch, capacity) = (Launch::from(input), Capacity::read(input)?);
        launch.check()?;
        Ok(Asked { cluster, token, count, launch, capacity })
    }

    /// Reads the rest against what there is: what to start, and what to place.
    pub(super) fn ready(
        &self,
        snapshot: &Snapshot,
        asked: &Asked<'_>,
        input: &shapes::RunTaskRequest,
    ) -> Result<(Template, Request), Error> {
        let Asked { cluster, count, launch, capacity, .. } = asked;
        let row = target::active_cluster(snapshot, &self.tables, cluster)?;
        let definition = definition(snapshot, &self.tables, cluster, launch.definition)?;
        capacity.check(&row, &definition)?;
        let template = Template::read(self, snapshot, cluster, launch, definition)?;
        let request = wishes::request(input, &template, *count)?;
        Ok((template, request))
    }

    /// Places the tasks of `request` and writes them, in one transaction.
    async fn launch(
        &self,
        cluster: &ClusterKey,
        template: &Template,
        request: &Request,
        token: Option<&Token>,
    ) -> Result<Launched, Error> {
        let (tables, seed) = (self.tables, self.seed());
        let (mut runs, mut plan) = (0, None);
        let done = self.ledger.transact("run task", |tx| {
            runs += 1;
            // What an earlier run planned is not to stand in the way of this one.
            drop(plan.take());
            let known = token.map(|token| token.repeated(tx, &tables, tx.now()));
            if let Some(tasks) = known.transpose()?.flatten() {
                return Ok(Launched { tasks, failures: Vec::new() });
            }
            template.still_good(tx, &tables)?;
            let ids: Vec<_> =
                (0..request.count).map(|_| TaskId::from_bytes(tx.next_id())).collect();
            let span = tracing::info_span!(target: meters::TRACE, "plan", count = request.count);
            let made =
                span.in_scope(|| self.placer.plan(&tx.facts(), cluster, request, &ids, seed));
            let made = plan.insert(made);
            if made.considered == 0 {
                return Err(Error::invalid("No Container Instances were found in your cluster."));
            }
            made.retries += runs - 1;
            let tasks = self.start_planned(tx, cluster, template, request, made)?;
            if let Some(token) = token {
                token.remember(tx, &tables, made.placed.iter().map(|(id, _)| *id).collect());
            }
            let failures = failures(cluster, &made.shortage);
            Ok(Launched { tasks, failures })
        });
        let launched = done.await?.value;
        if let Some(plan) = plan {
            trace::started(plan.placed.iter().map(|(id, _)| *id));
            self.placer.committed(plan, request);
        }
        Ok(launched)
    }

    fn start_planned(
        &self,
        tx: &mut Tx<'_>,
        cluster: &ClusterKey,
        template: &Template,
        request: &Request,
        plan: &Plan,
    ) -> Result<Vec<shapes::Task>, Error> {
        let tasks = self.write_planned(tx, cluster, template, request, plan)?;
        Ok(tasks.iter().map(show_started).collect())
    }

    /// Writes the tasks of a plan, and guards that they fit where they go.
    pub(super) fn write_planned(
        &self,
        tx: &mut Tx<'_>,
        cluster: &ClusterKey,
        template: &Template,
        request: &Request,
        plan: &Plan,
    ) -> Result<Vec<Task>, Error> {
        let told = Shared::from(plan.explain(cluster, request));
        let (mut tasks, mut devices) = (Vec::new(), Devices::default());
        for &(id, instance) in &plan.placed {
            let key = cluster.instance(instance);
            // The plan may know of an instance that is newer than this run's base.
            let row = tx.facts().get(&self.tables.instances, &key);
            let row = row.or_else(|| self.ledger.snapshot().get(&self.tables.instances, &key));
            let row = row.ok_or_else(|| Error::client("A container instance went away."))?;
            let task = template.start(self, tx, id, &row, &told, &mut devices)?;
            tasks.push(task);
        }
        devices.guard(tx, self.tables, cluster.clone());
        self.placer.guard(tx, cluster, request, plan.placed.iter().map(|(_, instance)| *instance));
        Ok(tasks)
    }

    /// A number for placement's chances.
    pub(super) fn seed(&self) -> u64 {
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
