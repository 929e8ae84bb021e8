//! CreateTaskSet.

use ledger::Tx;
use shapes_ecs as shapes;
use wire::Context;

use super::super::services::Wanted;
use super::super::services::capacity::Asked;
use super::super::services::rules::{counts, unbuilt};
use super::super::{Api, tags, target};
use super::{percent, service, show};
use crate::error::Error;
use crate::model::{
    DeploymentId, Document, Stability, Tag, TaskSet, TaskSetStatus, Throttle, Workload,
};
use crate::tables::{ServiceKey, Tables, TaskSetKey};

const OPERATION: &str = "CreateTaskSet";
/// Most task sets of a service that have not ended.
const MAX_SETS: usize = 50;

/// A request, checked for itself.
struct Checked {
    token: Option<String>,
    scale_percent: f64,
    tags: Vec<Tag>,
    request: Document<shapes::CreateTaskSetRequest>,
}

impl Api {
    /// Makes a task set. A repetition of the request that made one, by its token, is answered with
    /// it.
    pub(crate) async fn create_task_set(
        &self,
        context: Context,
        input: shapes::CreateTaskSetRequest,
    ) -> Result<shapes::CreateTaskSetResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let checked = check(input)?;
        let tables = self.tables;
        let made = self.ledger.transact("create task set", |tx| {
            let (key, row) = service(tx, &tables, &cluster, &checked.request.service)?;
            if let Some(known) = checked.known(tx, &tables, &key)? {
                return Ok(known);
            }
            let input = &checked.request;
            let asked = Asked {
                operation: OPERATION,
                launch_type: input.launch_type,
                strategy: &input.capacity_provider_strategy,
                platform_version: input.platform_version.as_deref(),
                is_daemon: false,
            };
            let wanted = Wanted {
                operation: OPERATION,
                definition: &input.task_definition,
                capacity: asked.choose(&*target::active_cluster(tx, &tables, &cluster)?)?,
                network: input.network_configuration.as_ref(),
                platform_version: input.platform_version.as_deref(),
                volumes: &[],
                balancers: input.load_balancers.as_deref().unwrap_or_default(),
            };
            let (workload, _) = wanted.read(self, tx, &cluster)?;
            checked.write(tx, &tables, (&key, row.desired), workload)
        });
        let key = made.await?.value;
        let task_set = Some(show::now(&self.ledger.snapshot(), &tables, &key, true)?);
        Ok(shapes::CreateTaskSetResponse { task_set })
    }
}

/// Checks what needs nothing but the request.
fn check(input: shapes::CreateTaskSetRequest) -> Result<Checked, Error> {
    if input.task_definition.is_empty() {
        return Err(Error::invalid("TaskDefinition can not be blank."));
    }
    let token = counts::token(input.client_token.as_deref())?.map(str::to_owned);
    unbuilt::refuse_of_set(&input)?;
    Ok(Checked {
        token,
        scale_percent: percent(input.scale.as_ref())?,
        tags: tags::read(input.tags.clone())?,
        request: Document::new(shapes::CreateTaskSetRequest {
            cluster: String::new(),
            client_token: None,
            ..input
        }),
    })
}

impl Checked {
    /// The task set that an earlier request with this token made.
    ///
    /// # Errors
    /// When that request was another one. The text is that of CreateService.
    fn known(
        &self,
        tx: &Tx<'_>,
        tables: &Tables,
        service: &ServiceKey,
    ) -> Result<Option<TaskSetKey>, Error> {
        let mut sets = tx.prefix(&tables.services.task_sets, service);
        let same = sets.find(|(_, row)| self.token.is_some() && row.client_token == self.token);
        match same {
            None => Ok(None),
            Some((key, row)) if row.request.as_ref() == Some(&self.request) => Ok(Some(key)),
            Some(_) => Err(Error::invalid("Creation of task set was not idempotent.")),
        }
    }

    fn write(
        &self,
        tx: &mut Tx<'_>,
        tables: &Tables,
        (service, desired): (&ServiceKey, u32),
        workload: Workload,
    ) -> Result<TaskSetKey, Error> {
        if tx.prefix(&tables.services.task_sets, service).count() >= MAX_SETS {
            let text = format!("The maximum number of task sets per service is {MAX_SETS}.");
            return Err(Error::LimitExceeded(text));
        }
        let (id, now) = (DeploymentId::from_bytes(tx.next_id()), tx.now());
        let mut set = TaskSet {
            id,
            status: TaskSetStatus::Active,
            workload,
            scale_percent: self.scale_percent,
            computed_desired: 0,
            stability: Stability::Stabilizing,
            stability_at: now,
            throttle: Throttle::default(),
            external_id: self.request.external_id.clone(),
            tags: self.tags.clone(),
            client_token: self.token.clone(),
            request: Some(self.request.clone()),
            created_at: now,
            updated_at: now,
        };
        set.computed_desired = set.share_of(desired);
        let key = (service.clone(), id);
        tx.put(&tables.services.task_sets, key.clone(), set);
        Ok(key)
    }
}
