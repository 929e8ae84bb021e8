//! RunTask (ECS semantics §5.4, §6).

use ledger::{Snapshot, Tx, View};
use placement::{Refusal, Request};
use shapes_ecs as shapes;
use terms::TaskId;
use wire::Context;

use super::super::{Api, target};
use super::capacity::{Capacity, Choice};
use super::launch::{Launch, Template, definition};
use super::taken::Taken;
use super::token::Token;
use super::{check_places, fargate, placement as wishes, show_started};
use crate::decide::shares;
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
        let (template, requests) = self.ready(&snapshot, &asked, &input)?;
        let launched = self.launch(&asked.cluster, &template, &requests, token).await?;
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

    /// Reads the rest against what there is: what to start, and what to place, for each capacity
    /// provider that tasks go to.
    pub(super) fn ready(
        &self,
        snapshot: &Snapshot,
        asked: &Asked<'_>,
        input: &shapes::RunTaskRequest,
    ) -> Result<(Template, Vec<Request>), Error> {
        let Asked { cluster, count, launch, capacity, .. } = asked;
        let row = target::active_cluster(snapshot, &self.tables, cluster)?;
        let definition = definition(snapshot, &self.tables, cluster, launch.definition)?;
        let Choice { strategy, platform } = capacity.check(&row, &definition)?;
        let launch = Launch { platform, ..*launch };
        let mut template = Template::read(self, snapshot, cluster, &launch, definition)?;
        template.check_roles(self)?;
        template.by_providers = !strategy.is_empty();
        let mut request = wishes::request(input, &template, *count)?;
        if template.fargate.is_some() {
            check_places(&input.placement_constraints, &input.placement_strategy)?;
            request = self.on_fleet(snapshot, &template, request);
        }
        // Bases are those of the request: what runs already is not asked (ECS semantics §12.1).
        let requests = shares::split(&request, &strategy, &shares::Counts::new());
        Ok((template, requests))
    }

    /// The request of a template that goes to Fargate, as one for nodes of the fleet.
    pub(super) fn on_fleet(
        &self,
        view: &impl View,
        template: &Template,
        request: Request,
    ) -> Request {
        fargate::on_fleet(view, &self.tables, &template.ground(), template.by_providers, request)
    }

    /// Places the tasks of `requests` and writes them, in one transaction.
    async fn launch(
        &self,
        cluster: &ClusterKey,
        template: &Template,
        requests: &[Request],
        token: Option<&Token>,
    ) -> Result<Launched, Error> {
        let (tables, seed) = (self.tables, self.seed());
        let (mut runs, mut plans) = (0, Vec::new());
        let ground = &template.ground();
        let done = self.ledger.transact("run task", |tx| {
            runs += 1;
            // What an earlier run planned is not to stand in the way of this one.
            plans.clear();
            let known = token.map(|token| token.repeated(tx, &tables, tx.now()));
            if let Some(tasks) = known.transpose()?.flatten() {
                return Ok(Launched { tasks, failures: Vec::new() });
            }
            template.still_good(tx, &tables)?;
            let mut launched = Launched { tasks: Vec::new(), failures: Vec::new() };
            let (mut made, mut taken) = (Vec::new(), Taken::default());
            for request in requests {
                let ids: Vec<_> =
                    (0..request.count).map(|_| TaskId::from_bytes(tx.next_id())).collect();
                let count = request.count;
                let span = tracing::info_span!(target: meters::TRACE, "plan", count);
                let facts = tx.facts();
                let plan = || self.placer.plan_beside(&made, &facts, ground, request, &ids, seed);
                let mut plan = span.in_scope(plan);
                plan.retries += runs - 1;
                let one = (template, request);
                let tasks = self.write_planned(tx, one, &plan, &mut taken)?;
                launched.tasks.extend(tasks.iter().map(show_started));
                launched.failures.extend(template.failures(cluster, request, &plan)?);
                made.extend(plan.placed.iter().map(|(id, _)| *id));
                plans.push(plan);
            }
            taken.guard(self, tx);
            launched.failures.truncate(MAX_FAILURES);
            if let Some(token) = token {
                token.remember(tx, &tables, made);
            }
            Ok(launched)
        });
        let launched = done.await?.value;
        for (plan, request) in plans.into_iter().zip(requests) {
            trace::started(plan.placed.iter().map(|(id, _)| *id));
            self.placer.committed(plan, request);
        }
        Ok(launched)
    }

    /// Writes the tasks of a plan; the caller guards what they have `taken`.
    pub(super) fn write_planned(
        &self,
        tx: &mut Tx<'_>,
        (template, request): (&Template, &Request),
        plan: &Plan,
        taken: &mut Taken,
    ) -> Result<Vec<Task>, Error> {
        let ground = template.ground();
        let told = Shared::from(plan.explain(&ground, request));
        let provider = shares::fargate_provider(request);
        let mut tasks = Vec::new();
        for &(id, instance) in &plan.placed {
            let key = ground.instance(instance);
            // The plan may know of an instance that is newer than this run's base.
            let row = tx.facts().get(&self.tables.instances, &key);
            let row = row.or_else(|| self.ledger.snapshot().get(&self.tables.instances, &key));
            let row = row.ok_or_else(|| Error::client("A container instance went away."))?;
            let task = template.start(
                self,
                tx,
                id,
                (&row, provider.clone()),
                &told,
                &mut taken.devices,
            )?;
            tasks.push(task);
        }
        taken.add(&ground, request, plan.placed.iter().map(|(_, instance)| *instance));
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

impl Template {
    /// Why tasks found no place; of Fargate's nodes nothing is told but that they have no room.
    ///
    /// # Errors
    /// When the cluster has no instance at all, for tasks that any would do for.
    fn failures(
        &self,
        cluster: &ClusterKey,
        request: &Request,
        plan: &Plan,
    ) -> Result<Vec<shapes::Failure>, Error> {
        if self.fargate.is_none() {
            return failures(cluster, request, plan);
        }
        let placed = u32::try_from(plan.placed.len()).unwrap_or(u32::MAX);
        let short = request.count.saturating_sub(placed);
        let failure = shapes::Failure {
            arn: None,
            reason: Some(fargate::NO_CAPACITY.to_owned()),
            detail: Some(fargate::detail(plan)),
        };
        Ok(vec![failure; short as usize])
    }
}

/// Why tasks found no place. A provider without instances is told by its own ARN.
///
/// # Errors
/// When there is no instance at all, for tasks that any would do for.
fn failures(
    cluster: &ClusterKey,
    request: &Request,
    plan: &Plan,
) -> Result<Vec<shapes::Failure>, Error> {
    let failure = |refusal: &Refusal| shapes::Failure {
        arn: Some(cluster.instance_arn(refusal.instance).to_string()),
        reason: Some(refusal.reason.code().to_owned()),
        detail: Some(refusal.reason.to_string()),
    };
    if plan.considered > 0 {
        return Ok(plan.shortage.iter().take(MAX_FAILURES).map(failure).collect());
    }
    let Some(provider) = shares::provider_of(request) else {
        return Err(Error::invalid("No Container Instances were found in your cluster."));
    };
    let Scope { region, account } = &cluster.scope;
    Ok(vec![shapes::Failure {
        arn: Some(format!("arn:aws:ecs:{region}:{account}:capacity-provider/{provider}")),
        reason: Some(shares::EMPTY_PROVIDER.to_owned()),
        detail: Some("the capacity provider has no container instance".to_owned()),
    }])
}
