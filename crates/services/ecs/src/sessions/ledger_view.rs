//! [`InstanceView`] over a snapshot of the ledger.

use agent_protocol::AGENT_ATTRIBUTE;
use agent_protocol::TASK_API_URL;
use agent_protocol::task::Task as PayloadTask;
use ledger::{Row, Snapshot, View};
use terms::{ContainerInstanceArn, TaskArn, TaskId};

use super::hub::SessionSetup;
use super::payload::{self, Settings, TaskEndpoint};
use super::view::{InstanceView, Standing, TaskView};
use crate::api;
use crate::model::{
    AgentUpdate, ContainerInstance, InstanceStatus, Task, TaskDefinition, TaskStatus,
};
use crate::tables::{InstanceKey, Tables, definition_key, instance_key};

/// What containers are told of the API's address (`--task-endpoint`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEndpointSetting {
    /// Our agent's containers get the link-local address that it forwards; those of Amazon's
    /// agent get `advertised`, the server's URL as other machines reach it.
    Automatic {
        /// The server's URL, without a trailing slash.
        advertised: String,
    },
    /// All containers get this URL.
    Url(String),
    /// Containers are told nothing.
    None,
}

impl TaskEndpointSetting {
    fn of(&self, instance: &ContainerInstance) -> TaskEndpoint {
        match self {
            Self::None => TaskEndpoint::None,
            Self::Url(url) => TaskEndpoint::Url(url.clone()),
            Self::Automatic { .. } if is_own_agent(instance) => {
                TaskEndpoint::Url(TASK_API_URL.to_owned())
            }
            Self::Automatic { advertised } => TaskEndpoint::Url(advertised.clone()),
        }
    }
}

fn is_own_agent(instance: &ContainerInstance) -> bool {
    instance.attributes.contains_key(AGENT_ATTRIBUTE)
}

/// One instance in one snapshot.
pub(crate) struct LedgerView<'a> {
    snapshot: Snapshot,
    tables: &'a Tables,
    setup: &'a SessionSetup,
    key: InstanceKey,
}

impl<'a> LedgerView<'a> {
    /// The instance as the snapshot has it.
    pub(crate) fn new(
        snapshot: Snapshot,
        tables: &'a Tables,
        setup: &'a SessionSetup,
        instance: &ContainerInstanceArn,
    ) -> Self {
        Self { snapshot, tables, setup, key: instance_key(instance) }
    }

    /// The instance's row.
    pub(crate) fn instance(&self) -> Option<Row<ContainerInstance>> {
        self.snapshot.get(&self.tables.instances, &self.key)
    }

    /// Whether our own agent runs the instance.
    pub(crate) fn is_own_agent(&self) -> bool {
        self.instance().is_some_and(|row| is_own_agent(&row))
    }

    /// The images of a task's containers as written; none unless the task is on this instance and has
    /// not stopped.
    pub(crate) fn images_of(&self, task: &TaskArn) -> Vec<String> {
        let row = self.row(task.id).filter(|row| row.arn == *task);
        let row = row.filter(|row| row.status != TaskStatus::Stopped);
        let containers = row.iter().flat_map(|row| &row.containers);
        containers.map(|container| container.image.to_string()).collect()
    }

    fn row(&self, id: TaskId) -> Option<Row<Task>> {
        task_on(&self.snapshot, self.tables, &self.key, id)
    }

    fn definition(&self, task: &Task) -> Option<Row<TaskDefinition>> {
        self.snapshot.get(&self.tables.definitions, &definition_key(&task.definition))
    }

    fn view_of(&self, task: &Task) -> TaskView {
        let definition = self.definition(task);
        TaskView {
            arn: task.arn.clone(),
            desired: payload::desired(task),
            status: task.status,
            roles: definition.map_or_else(Vec::new, |row| payload::roles(task, &row)),
        }
    }
}

/// The task with this id, if it is on this instance. Tasks on a node of the fleet are of any cluster
/// of the account and region: they are found among those on the node.
pub(crate) fn task_on(
    view: &impl View,
    tables: &Tables,
    place: &InstanceKey,
    id: TaskId,
) -> Option<Row<Task>> {
    if place.0.is_fleet() {
        let mut here = view.index(&tables.tasks_by_instance, place);
        return here.find(|(key, _)| key.1 == id).map(|(_, row)| row);
    }
    let row = view.get(&tables.tasks, &place.0.task(id))?;
    (row.instance == place.1).then_some(row)
}

impl InstanceView for LedgerView<'_> {
    fn standing(&self) -> Standing {
        match self.instance().map(|row| row.status) {
            Some(InstanceStatus::Active | InstanceStatus::Draining) => Standing::Member,
            Some(InstanceStatus::Inactive) => {
                Standing::Inactive("the container instance was deregistered".to_owned())
            }
            None => Standing::Inactive("there is no such container instance".to_owned()),
        }
    }

    fn update(&self) -> Option<AgentUpdate> {
        self.instance()?.agent.update.clone()
    }

    fn task(&self, id: TaskId) -> Option<TaskView> {
        self.row(id).map(|row| self.view_of(&row))
    }

    fn tasks(&self) -> Vec<TaskView> {
        let rows = self.snapshot.index(&self.tables.held, &self.key);
        rows.map(|(_, row)| self.view_of(&row)).collect()
    }

    fn payload(&self, id: TaskId) -> Result<PayloadTask, String> {
        let task = self.row(id).ok_or("the task is not on this instance")?;
        let definition = self.definition(&task).ok_or_else(|| {
            format!("its task definition {} is not in the ledger", task.definition)
        })?;
        let instance = self.instance();
        let endpoint = match &instance {
            Some(instance) => self.setup.task_endpoint.of(instance),
            None => TaskEndpoint::None,
        };
        let logs_endpoint = match (&endpoint, &instance) {
            (TaskEndpoint::Url(url), Some(instance)) if !is_own_agent(instance) => {
                Some(url.clone())
            }
            _ => None,
        };
        let scope = &self.key.0.scope;
        let log_mode = Some(api::default_log_mode(&self.snapshot, self.tables, scope));
        let ecr_endpoint = self.setup.ecr_endpoint.clone();
        let registry = self.setup.registry.clone();
        let settings = Settings { endpoint, log_mode, logs_endpoint, ecr_endpoint, registry };
        Ok(payload::task(&task, &definition, &settings))
    }
}
