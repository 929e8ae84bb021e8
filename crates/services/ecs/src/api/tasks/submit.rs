//! What agents report: Submit…StateChange (agent protocol §3).
//!
//! Agents repeat a report for ever unless it is acknowledged or refused as a wrong parameter, and
//! a report that is stuck holds up all later ones of its task. So everything odd is accepted, and
//! whatever can never become right is an InvalidParameterException.

use shapes_ecs as shapes;
use terms::{TaskArn, Uuid};
use wire::Context;

use super::super::target::Target;
use super::super::{Api, container_instances, target};
use crate::decide::report::{self, ContainerReport, ExecReport, Reported, TaskReport};
use crate::error::Error;
use crate::model::{Binding, Protocol};
use crate::tables::{TaskKey, place_of};
use crate::trace;

/// What a report is answered with; agents look at the status alone.
const ACKNOWLEDGED: &str = "ok";

impl Api {
    /// Takes a report of a task, its containers, or of an attachment alone.
    pub(crate) async fn submit_task_state_change(
        &self,
        context: Context,
        input: shapes::SubmitTaskStateChangeRequest,
    ) -> Result<shapes::SubmitTaskStateChangeResponse, Error> {
        let reported = TaskReport {
            status: input.status.as_deref().and_then(status),
            reason: input.reason,
            containers: input.containers.into_iter().flatten().map(container).collect(),
            pull_started_at: input.pull_started_at,
            pull_stopped_at: input.pull_stopped_at,
            execution_stopped_at: input.execution_stopped_at,
            attached: input.attachments.iter().flatten().filter_map(attached).collect(),
            exec_agents: input.managed_agents.into_iter().flatten().map(exec_agent).collect(),
        };
        self.take_report(&context, input.cluster.as_deref(), input.task.as_deref(), &reported)
            .await?;
        Ok(shapes::SubmitTaskStateChangeResponse { acknowledgment: Some(ACKNOWLEDGED.to_owned()) })
    }

    /// Takes a report of one container: what agents did before they reported whole tasks.
    pub(crate) async fn submit_container_state_change(
        &self,
        context: Context,
        input: shapes::SubmitContainerStateChangeRequest,
    ) -> Result<shapes::SubmitContainerStateChangeResponse, Error> {
        let one = shapes::ContainerStateChange {
            container_name: input.container_name,
            runtime_id: input.runtime_id,
            exit_code: input.exit_code,
            network_bindings: input.network_bindings,
            reason: input.reason,
            status: input.status,
            ..Default::default()
        };
        let reported = TaskReport { containers: vec![container(one)], ..TaskReport::default() };
        self.take_report(&context, input.cluster.as_deref(), input.task.as_deref(), &reported)
            .await?;
        let acknowledgment = Some(ACKNOWLEDGED.to_owned());
        Ok(shapes::SubmitContainerStateChangeResponse { acknowledgment })
    }

    /// Takes a report of attachments without a task. Only interfaces of tasks are known; what is
    /// not is acknowledged, so that the agent forgets it.
    pub(crate) async fn submit_attachment_state_changes(
        &self,
        context: Context,
        input: shapes::SubmitAttachmentStateChangesRequest,
    ) -> Result<shapes::SubmitAttachmentStateChangesResponse, Error> {
        let scope = target::scope(&context);
        for id in input.attachments.iter().filter_map(attached) {
            let snapshot = self.ledger.snapshot();
            let mut owners = snapshot.index(&self.tables.tasks_by_attachment, &id);
            let Some((key, _)) = owners.find(|(key, _)| key.0.scope == scope) else { continue };
            let reported = TaskReport { attached: vec![id], ..TaskReport::default() };
            self.take_report_of(&context, &key, &reported).await?;
        }
        let acknowledgment = Some(ACKNOWLEDGED.to_owned());
        Ok(shapes::SubmitAttachmentStateChangesResponse { acknowledgment })
    }

    async fn take_report(
        &self,
        context: &Context,
        cluster: Option<&str>,
        task: Option<&str>,
        reported: &TaskReport,
    ) -> Result<(), Error> {
        match reported_task(context, cluster, task)? {
            Some(key) => self.take_report_of(context, &key, reported).await,
            None => Ok(()),
        }
    }

    async fn take_report_of(
        &self,
        context: &Context,
        key: &TaskKey,
        reported: &TaskReport,
    ) -> Result<(), Error> {
        let tables = self.tables;
        trace::about(key.1);
        let mut moved = None;
        let done = self.ledger.transact("report task", |tx| {
            moved = None;
            // A task that is not known is acknowledged, so that the agent forgets it.
            let Some(row) = tx.get(&tables.tasks, key) else { return Ok(()) };
            let instance = tx.get(&tables.instances, &place_of(key, &row));
            let check = match &instance {
                Some(instance) => container_instances::check_node(context, instance),
                None => container_instances::check_no_node(context),
            };
            // Not AccessDenied: the agent would repeat it for ever.
            check.map_err(|refusal| Error::invalid(refusal.to_string()))?;
            if let Some(next) = report::apply(&row, reported, tx.now()) {
                moved = Some((row.status, next.clone()));
                self.put_task(tx, key.clone(), next);
            }
            Ok::<_, Error>(())
        });
        done.await?;
        if let Some((before, task)) = moved {
            trace::moved(before, &task, context.now);
        }
        Ok(())
    }
}

/// The task that a report is about; its own ARN says more than the cluster beside it. `None` if it
/// cannot be one of ours.
fn reported_task(
    context: &Context,
    cluster: Option<&str>,
    task: Option<&str>,
) -> Result<Option<TaskKey>, Error> {
    let scope = target::scope(context);
    let text = task.filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Error::invalid("Task is missing."))?;
    if let Ok(arn) = text.parse::<TaskArn>() {
        let here = arn.account == scope.account && arn.region == scope.region;
        return Ok(here.then(|| crate::tables::task_key(&arn)));
    }
    let cluster = target::cluster(&scope, cluster)
        .map_err(|_| Error::invalid(Error::ClusterNotFound.to_string()))?;
    match target::task(&cluster, text)? {
        Target::Id(id) => Ok(Some(cluster.task(id))),
        Target::Unknown => Ok(None),
    }
}

/// A status that means something here; agents have some of their own besides.
fn status(text: &str) -> Option<Reported> {
    match text {
        "PENDING" => Some(Reported::Pending),
        "RUNNING" => Some(Reported::Running),
        "STOPPED" => Some(Reported::Stopped),
        _ => None,
    }
}

/// The id of an attachment that the agent has; what it says of one that it has not changes nothing.
fn attached(change: &shapes::AttachmentStateChange) -> Option<Uuid> {
    let (_, id) = change.attachment_arn.rsplit_once('/')?;
    id.parse().ok().filter(|_| change.status == "ATTACHED")
}

fn container(one: shapes::ContainerStateChange) -> ContainerReport {
    ContainerReport {
        name: one.container_name.unwrap_or_default(),
        status: one.status.as_deref().and_then(status),
        runtime_id: one.runtime_id,
        image_digest: one.image_digest,
        exit_code: one.exit_code,
        reason: one.reason,
        bindings: one.network_bindings.map(|list| list.into_iter().map(binding).collect()),
    }
}

/// ExecuteCommandAgent is the one managed agent that there is.
fn exec_agent(one: shapes::ManagedAgentStateChange) -> ExecReport {
    ExecReport {
        container: one.container_name,
        // CREATED is said as such (agent protocol §3.1).
        status: match one.status.as_str() {
            "CREATED" => Some(Reported::Pending),
            other => status(other),
        },
        reason: one.reason,
    }
}

fn binding(one: shapes::NetworkBinding) -> Binding {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    Binding {
        bind_ip: one.bind_ip.unwrap_or_default().into(),
        container_port: port(one.container_port),
        host_port: port(one.host_port),
        container_port_range: one.container_port_range,
        host_port_range: one.host_port_range,
        protocol: match one.protocol.map(|protocol| protocol.as_str()) {
            Some("udp") => Protocol::Udp,
            Some(_) | None => Protocol::Tcp,
        },
    }
}
