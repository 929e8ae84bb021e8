//! What would be if: RunTask, a service created or updated, or the loss of a zone or an instance, in
//! a cluster as it is or as it would be with instances added and taken away.
//!
//! A question is answered on a fork of the ledger ([`Ledger::fork`]), by the functions that answer
//! it in earnest, and leaves nothing behind.

mod change;
mod failover;
mod machine;
mod rollout;
mod services;
mod usage;

use ledger::Ledger;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use terms::{AccountId, Region};
use wire::ServiceError;

pub(crate) use self::change::Changes;
use self::failover::{Lost, Moves};
use self::services::{Asked, Outcome};
use self::usage::InstanceUse;
pub(crate) use self::usage::Taken;
use crate::Ecs;
use crate::api::{Api, Outlook, cluster_of};
use crate::error::Error;
use crate::placing::Placer;
use crate::routes::read_request;
use crate::tables::{ClusterKey, Scope};

/// A question, as `POST /_longshore/what-if` and `longshore plan` ask it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Question {
    /// The cluster's name or ARN; that of `run_task` for it.
    cluster: Option<String>,
    /// What would be different.
    #[serde(default)]
    changes: Changes,
    /// A RunTask request as AWS JSON.
    run_task: Option<Box<RawValue>>,
    /// What fails.
    failover: Option<Lost>,
    /// A RegisterTaskDefinition request as AWS JSON.
    register_task_definition: Option<Box<RawValue>>,
    /// A CreateService request as AWS JSON.
    create_service: Option<Box<RawValue>>,
    /// An UpdateService request as AWS JSON.
    update_service: Option<Box<RawValue>>,
    /// Whether the deployment that begins is played to its end.
    #[serde(default)]
    play: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    cluster_arn: String,
    /// The revision of the state that it is about.
    revision: u64,
    /// Whether everything would find its place.
    fits: bool,
    /// Tasks on instances that the changes take away; ECS starts tasks that no service wants
    /// nowhere else.
    tasks_lost: u32,
    /// What RunTask would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_task: Option<Outlook>,
    /// Where tasks would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    failover: Option<Moves>,
    /// What would come of the requests about services.
    #[serde(flatten)]
    services: Outcome,
    /// The cluster's instances before and after.
    instances: Vec<InstanceUse>,
}

impl Ecs {
    /// Answers a question in the form of `POST /_longshore/what-if` (docs/guides/placement.md),
    /// as JSON.
    ///
    /// # Errors
    /// Those of RunTask; and for a question that makes no sense.
    pub async fn what_if(
        &self,
        account: &AccountId,
        region: &Region,
        question: &[u8],
    ) -> Result<Vec<u8>, ServiceError> {
        let scope = Scope { account: account.clone(), region: region.clone() };
        what_if(&self.api, &scope, question).await
    }
}

impl Question {
    fn services(&self) -> Asked<'_> {
        Asked {
            register: self.register_task_definition.as_deref(),
            create: self.create_service.as_deref(),
            update: self.update_service.as_deref(),
            play: self.play,
        }
    }
}

/// See [`Ecs::what_if`].
pub(crate) async fn what_if(
    api: &Api,
    scope: &Scope,
    question: &[u8],
) -> Result<Vec<u8>, ServiceError> {
    let question: Question = serde_json::from_slice(question)
        .map_err(|error| Error::invalid(format!("The question is not as wanted: {error}.")))?;
    let imagined = imagine(api, api.ledger.fork());
    let answer = imagined.answer(scope, &question).await?;
    Ok(serde_json::to_vec(&answer).unwrap_or_default())
}

/// The same service over another ledger.
fn imagine(api: &Api, ledger: Ledger) -> Api {
    Api {
        placer: Placer::new(ledger.clone(), api.tables),
        ledger,
        tables: api.tables,
        sessions: api.sessions.clone(),
        ids: api.ids.clone(),
        agent_endpoint: api.agent_endpoint.clone(),
        alarms: std::sync::OnceLock::new(),
        hooks: std::sync::OnceLock::new(),
        identities: api.identities.clone(),
        balancers: api.balancers.clone(),
        mistake: std::sync::OnceLock::new(),
        vpc: api.vpc,
    }
}

impl Api {
    async fn answer(&self, scope: &Scope, question: &Question) -> Result<Answer, ServiceError> {
        let run = question.run_task.as_ref().map(|request| request.get().as_bytes());
        let run = run.map(read_request::<shapes_ecs::RunTaskRequest>).transpose()?;
        let named = run.as_ref().and_then(|request| request.cluster.as_deref());
        let cluster = cluster_of(self, scope, question.cluster.as_deref().or(named))?;
        let revision = self.ledger.snapshot().revision();
        let before = usage::of(self, &cluster);
        let lost = change::apply(self, &cluster, &question.changes).await?;
        let mut answer = Answer {
            cluster_arn: cluster.arn().to_string(),
            revision,
            fits: true,
            tasks_lost: u32::try_from(lost.len()).unwrap_or(u32::MAX),
            run_task: None,
            failover: None,
            services: Outcome::default(),
            instances: Vec::new(),
        };
        let mut after = None;
        if let Some(request) = &run {
            let outlook = self.plan_run_task(scope, request)?;
            answer.fits = outlook.all_fit();
            let mut usage = usage::of(self, &cluster);
            outlook.taken().for_each(|taken| usage::take(&mut usage, taken));
            (answer.run_task, after) = (Some(outlook), Some(usage));
        }
        if let Some(lost) = &question.failover {
            let moves = failover::play(self, &cluster, lost).await?;
            answer.fits &= moves.all_fit();
            answer.failover = Some(moves);
            after = None;
        }
        let asked = question.services();
        if asked.is_something() {
            answer.services = self.try_services(scope, &asked).await?;
            answer.fits &= answer.services.all_fit();
            after = None;
        }
        let after = after.unwrap_or_else(|| usage::of(self, &cluster));
        answer.instances = usage::join(before, after);
        Ok(answer)
    }
}

/// What a zone is called, wholly or by its last letter, in the region of `cluster`.
fn zone_name(cluster: &ClusterKey, text: &str) -> String {
    let is_letter = text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_lowercase());
    if is_letter { format!("{}{text}", cluster.scope.region) } else { text.to_owned() }
}
