//! RegisterContainerInstance (agent protocol §1.2 to §1.4).

use std::collections::BTreeMap;

use agent_protocol::WAS_DEREGISTERED;
use ledger::Tx;
use shapes_ecs as shapes;
use terms::{ContainerInstanceArn, ContainerInstanceId};
use wire::{CallerKind, Context};

use super::super::{Api, tags, target};
use super::identity::Identity;
use super::{check_node, held, resources, show};
use crate::error::Error;
use crate::model::attribute::{self, MAX_CUSTOM_ATTRIBUTES};
use crate::model::{AgentInfo, Capacity, ContainerInstance, Document, InstanceStatus, Tag};
use crate::tables::{ClusterKey, Tables};

/// A registration that was found good.
struct Registration {
    attributes: BTreeMap<String, Option<String>>,
    identity: Identity,
    capacity: Capacity,
    registered: Vec<Document<shapes::Resource>>,
    version_info: Option<shapes::VersionInfo>,
    tags: Vec<Tag>,
    node: Option<String>,
}

impl Api {
    /// Registers an instance, or brings a known one up to date. Every attribute sent is answered:
    /// agents check that.
    pub(crate) async fn register_container_instance(
        &self,
        context: Context,
        input: shapes::RegisterContainerInstanceRequest,
    ) -> Result<shapes::RegisterContainerInstanceResponse, Error> {
        let scope = target::scope(&context);
        let cluster = target::cluster(&scope, input.cluster.as_deref())?;
        let known = input.container_instance_arn.clone().filter(|arn| !arn.is_empty());
        let known = known.map(|arn| known_instance(&cluster, &arn)).transpose()?;
        let registration = read(&context, input)?;
        let tables = self.tables;
        let _arriving = self.sessions.registering()?;
        let done = self.ledger.transact("register container instance", |tx| {
            if !cluster.is_fleet() {
                target::active_cluster(tx, &tables, &cluster)?;
            }
            let row = match known {
                Some(id) => update(tx, &tables, &cluster, id, &registration, &context)?,
                None => match never_seen(tx, &tables, &cluster, &registration) {
                    Some(id) => update(tx, &tables, &cluster, id, &registration, &context)?,
                    None => create(tx, &cluster, &registration)?,
                },
            };
            let key = cluster.instance(row.arn.id);
            let shown = show(&row, &held(tx, &tables, &key), true, None);
            tx.put(&tables.instances, key, row);
            Ok::<_, Error>(shown)
        });
        let done = done.await?;
        let mut registered = done.value;
        registered.version = i64::try_from(done.revision).ok();
        let container_instance = Some(registered);
        Ok(shapes::RegisterContainerInstanceResponse { container_instance })
    }
}

fn known_instance(cluster: &ClusterKey, text: &str) -> Result<ContainerInstanceId, Error> {
    let arn: ContainerInstanceArn = text
        .parse()
        .map_err(|_| Error::client(format!("containerInstanceArn '{text}' is no instance ARN.")))?;
    let here = cluster.instance_arn(arn.id) == arn;
    here.then_some(arn.id).ok_or_else(|| {
        let cluster = &cluster.name;
        Error::client(format!("Container instance {text} is not of cluster {cluster}."))
    })
}

fn read(
    context: &Context,
    input: shapes::RegisterContainerInstanceRequest,
) -> Result<Registration, Error> {
    let devices = input.platform_devices.unwrap_or_default();
    let total = resources::with_gpus(input.total_resources.unwrap_or_default(), &devices);
    let node = match &context.caller.kind {
        CallerKind::Node { name } => Some(name.clone()),
        CallerKind::Operator
        | CallerKind::Task { .. }
        | CallerKind::User(_)
        | CallerKind::UserSession(_)
        | CallerKind::Role(_)
        | CallerKind::Federated(_)
        | CallerKind::Server
        | CallerKind::Anonymous
        | CallerKind::Open => None,
    };
    Ok(Registration {
        attributes: attributes(input.attributes.unwrap_or_default())?,
        identity: Identity::read(input.instance_identity_document.as_deref()),
        capacity: resources::capacity(&total)?,
        registered: total.into_iter().map(Document::new).collect(),
        version_info: input.version_info,
        tags: tags::read(input.tags)?,
        node,
    })
}

/// Attributes as sent, checked.
fn attributes(sent: Vec<shapes::Attribute>) -> Result<BTreeMap<String, Option<String>>, Error> {
    let mut attributes = BTreeMap::new();
    for shapes::Attribute { name, value, .. } in sent {
        attribute::check_registered(&name, value.as_deref())
            .map_err(|wrong| Error::invalid(wrong.to_string()))?;
        attributes.insert(name, value);
    }
    Ok(attributes)
}

/// An instance may have so many attributes of users, whoever put them there.
fn check_count(attributes: &BTreeMap<String, Option<String>>) -> Result<(), Error> {
    let custom = attributes.keys().filter(|name| !attribute::is_reserved(name)).count();
    if custom > MAX_CUSTOM_ATTRIBUTES {
        return Err(Error::too_many_attributes());
    }
    Ok(())
}

/// The instance that the same node registered before and never used: the agent did not get the
/// answer and asks again. (Agents send a `clientToken` for this, but ECS's published model does not
/// have that member, so it does not come this far; keys bound to a node say the same.)
fn never_seen(
    tx: &Tx<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    registration: &Registration,
) -> Option<ContainerInstanceId> {
    let node = (cluster.clone(), registration.node.clone()?);
    let known: Vec<_> = tx.index(&tables.instances_by_node, &node).collect();
    let unused = known.into_iter().find(|(key, row)| {
        row.status == InstanceStatus::Active
            && row.agent == AgentInfo::default()
            && tx.index(&tables.held, key).next().is_none()
    });
    unused.map(|((_, id), _)| id)
}

fn create(
    tx: &Tx<'_>,
    cluster: &ClusterKey,
    registration: &Registration,
) -> Result<ContainerInstance, Error> {
    check_count(&registration.attributes)?;
    let id = ContainerInstanceId::from_bytes(tx.next_id());
    let mut attributes = registration.attributes.clone();
    registration.identity.add_to(&mut attributes, &cluster.scope);
    Ok(ContainerInstance {
        arn: cluster.instance_arn(id),
        status: InstanceStatus::Active,
        ec2_instance_id: Some(registration.identity.instance_id(id)),
        attributes,
        capacity: registration.capacity.clone(),
        registered: registration.registered.clone(),
        agent: agent(AgentInfo::default(), registration.version_info.as_ref()),
        node: registration.node.clone(),
        registered_at: tx.now(),
        changed_at: tx.now(),
        tags: registration.tags.clone(),
        version: 1,
    })
}

fn update(
    tx: &Tx<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    id: ContainerInstanceId,
    registration: &Registration,
    context: &Context,
) -> Result<ContainerInstance, Error> {
    let arn = cluster.instance_arn(id);
    let row = tx.get(&tables.instances, &cluster.instance(id));
    let row = row.filter(|row| row.status != InstanceStatus::Inactive).ok_or_else(|| {
        Error::client(format!(
            "Container instance {arn} {WAS_DEREGISTERED}. Remove the agent's saved state, and it \
             registers as a new one."
        ))
    })?;
    check_node(context, &row)?;
    let kind = |attributes: &BTreeMap<_, Option<String>>| {
        attributes.get("ecs.instance-type").cloned().flatten()
    };
    let mut attributes = registration.attributes.clone();
    registration.identity.add_to(&mut attributes, &cluster.scope);
    if kind(&attributes).is_some_and(|kind_now| Some(kind_now) != kind(&row.attributes)) {
        // The agent looks for this text (agent protocol §1.4).
        return Err(Error::client("Container instance type changes are not supported."));
    }
    // Those of users outlive a registration that does not name them.
    for (name, value) in row.attributes.iter().filter(|(name, _)| !attribute::is_reserved(name)) {
        attributes.entry(name.clone()).or_insert_with(|| value.clone());
    }
    check_count(&attributes)?;
    Ok(ContainerInstance {
        attributes,
        capacity: registration.capacity.clone(),
        registered: registration.registered.clone(),
        agent: agent(row.agent.clone(), registration.version_info.as_ref()),
        version: row.version + 1,
        ..ContainerInstance::clone(&row)
    })
}

/// What older agents say of themselves at registration; newer ones do when they connect.
fn agent(known: AgentInfo, told: Option<&shapes::VersionInfo>) -> AgentInfo {
    let Some(told) = told else { return known };
    AgentInfo {
        connected: known.connected,
        version: told.agent_version.clone().or(known.version),
        hash: told.agent_hash.clone().or(known.hash),
        docker_version: told.docker_version.clone().or(known.docker_version),
        away_since: known.away_since,
        disk_full: known.disk_full,
        update: known.update,
    }
}
