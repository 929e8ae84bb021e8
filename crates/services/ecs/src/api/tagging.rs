//! TagResource, UntagResource and ListTagsForResource (ECS semantics §2.2).

use ledger::{Tx, View};
use shapes_ecs as shapes;
use terms::{
    AccountId, CapacityProviderArn, ClusterArn, ContainerInstanceArn, Region, ServiceArn, TaskArn,
    TaskDefinitionArn,
};
use wire::Context;

use super::{Api, tags, target};
use crate::error::Error;
use crate::model::{
    CapacityProvider, Cluster, ClusterStatus, ContainerInstance, InstanceStatus, ProviderStatus,
    Service, ServiceStatus, Tag, Task, TaskDefinition, TaskSet, TaskStatus,
};
use crate::tables::{
    ClusterKey, DefinitionKey, InstanceKey, ProviderKey, Scope, ServiceKey, Tables, TaskKey,
    TaskSetKey, definition_key, instance_key, service_key, task_key,
};

/// What can have tags.
enum Resource {
    Cluster(ClusterKey),
    Task(TaskKey),
    Instance(InstanceKey),
    Definition(DefinitionKey),
    Provider(ProviderKey),
    Service(ServiceKey),
    TaskSet(TaskSetKey),
}

impl Api {
    /// Adds tags to a resource; a key that it has already gets the new value.
    pub(crate) async fn tag_resource(
        &self,
        context: Context,
        input: shapes::TagResourceRequest,
    ) -> Result<shapes::TagResourceResponse, Error> {
        let resource = read(&target::scope(&context), &input.resource_arn)?;
        let added = tags::read(Some(input.tags))?;
        self.change_tags(&resource, |old| tags::merge(old, &added)).await?;
        Ok(shapes::TagResourceResponse {})
    }

    /// Takes tags away from a resource; keys that it does not have do not matter.
    pub(crate) async fn untag_resource(
        &self,
        context: Context,
        input: shapes::UntagResourceRequest,
    ) -> Result<shapes::UntagResourceResponse, Error> {
        let resource = read(&target::scope(&context), &input.resource_arn)?;
        let keys = tags::read_keys(input.tag_keys)?;
        let without =
            |old: &[Tag]| Ok(old.iter().filter(|t| !keys.contains(&t.key)).cloned().collect());
        self.change_tags(&resource, without).await?;
        Ok(shapes::UntagResourceResponse {})
    }

    /// Lists a resource's tags.
    pub(crate) async fn list_tags_for_resource(
        &self,
        context: Context,
        input: shapes::ListTagsForResourceRequest,
    ) -> Result<shapes::ListTagsForResourceResponse, Error> {
        let resource = read(&target::scope(&context), &input.resource_arn)?;
        let found = tags_of(&self.ledger.snapshot(), &self.tables, &resource)?;
        Ok(shapes::ListTagsForResourceResponse { tags: Some(tags::show(&found)) })
    }

    async fn change_tags(
        &self,
        resource: &Resource,
        change: impl Fn(&[Tag]) -> Result<Vec<Tag>, Error> + Send + Sync,
    ) -> Result<(), Error> {
        let tables = self.tables;
        let changed = self.ledger.transact("change tags", |tx| {
            let tags = change(&tags_of(tx, &tables, resource)?)?;
            put_tags(tx, &tables, resource, tags);
            Ok::<(), Error>(())
        });
        changed.await?;
        Ok(())
    }
}

/// The tags of the resource with this ARN, if it is one and is there.
pub(crate) fn known(
    view: &impl View,
    tables: &Tables,
    scope: &Scope,
    arn: &str,
) -> Option<Vec<Tag>> {
    tags_of(view, tables, &read(scope, arn).ok()?).ok()
}

/// The tags of a resource that can have some now.
fn tags_of(view: &impl View, tables: &Tables, resource: &Resource) -> Result<Vec<Tag>, Error> {
    let cluster = |key: &ClusterKey| {
        let row = view.get(&tables.clusters, key).ok_or(Error::ClusterNotFound)?;
        match row.status {
            ClusterStatus::Active => Ok(row),
            // Observed on ECS.
            ClusterStatus::Inactive => Err(Error::invalid(
                "The specified cluster is inactive. Specify an active cluster and try again.",
            )),
        }
    };
    match resource {
        Resource::Cluster(key) => Ok(cluster(key)?.tags.clone()),
        Resource::Task(key) => {
            cluster(&key.0)?;
            let row = view.get(&tables.tasks, key).ok_or_else(|| unknown("task"))?;
            if row.status == TaskStatus::Stopped {
                // Observed on ECS.
                return Err(Error::invalid(
                    "The specified task is stopped. Specify a running task and try again.",
                ));
            }
            Ok(row.tags.clone())
        }
        Resource::Instance(key) => {
            cluster(&key.0)?;
            let row = view.get(&tables.instances, key);
            let row = row.filter(|row| row.status != InstanceStatus::Inactive);
            Ok(row.ok_or_else(|| unknown("container instance"))?.tags.clone())
        }
        Resource::Definition(key) => {
            let row = view.get(&tables.definitions, key);
            // ECS asks for the definition as a client would, and has the same text.
            let unknown = || Error::client("Unable to describe task definition.");
            Ok(row.ok_or_else(unknown)?.tags.clone())
        }
        Resource::Provider(key) => {
            let row = view.get(&tables.providers, key);
            let row = row.filter(|row| row.status == ProviderStatus::Active);
            Ok(row.ok_or_else(|| unknown("capacity provider"))?.tags.clone())
        }
        Resource::Service(key) => {
            cluster(&key.0)?;
            let row = view.get(&tables.services.rows, key).ok_or_else(|| unknown("service"))?;
            match row.status {
                ServiceStatus::Active | ServiceStatus::Draining => Ok(row.tags.clone()),
                // Observed on ECS.
                ServiceStatus::Inactive => Err(Error::invalid(
                    "The specified service is inactive. Specify an active service and try again.",
                )),
            }
        }
        Resource::TaskSet(key) => {
            cluster(&key.0.0)?;
            let row = view.get(&tables.services.task_sets, key);
            Ok(row.ok_or_else(|| unknown("task set"))?.tags.clone())
        }
    }
}

/// Writes the tags of a resource that [`tags_of`] found.
fn put_tags(tx: &mut Tx<'_>, tables: &Tables, resource: &Resource, tags: Vec<Tag>) {
    match resource {
        Resource::Cluster(key) => {
            if let Some(row) = tx.get(&tables.clusters, key) {
                tx.put(&tables.clusters, key.clone(), Cluster { tags, ..Cluster::clone(&row) });
            }
        }
        Resource::Task(key) => {
            if let Some(row) = tx.get(&tables.tasks, key) {
                let version = row.version + 1;
                let row = Task { tags, version, ..Task::clone(&row) };
                tx.put(&tables.tasks, key.clone(), row);
            }
        }
        Resource::Instance(key) => {
            if let Some(row) = tx.get(&tables.instances, key) {
                let version = row.version + 1;
                let row = ContainerInstance { tags, version, ..ContainerInstance::clone(&row) };
                tx.put(&tables.instances, key.clone(), row);
            }
        }
        Resource::Definition(key) => {
            if let Some(row) = tx.get(&tables.definitions, key) {
                let row = TaskDefinition { tags, ..TaskDefinition::clone(&row) };
                tx.put(&tables.definitions, key.clone(), row);
            }
        }
        Resource::Provider(key) => {
            if let Some(row) = tx.get(&tables.providers, key) {
                let row = CapacityProvider { tags, ..CapacityProvider::clone(&row) };
                tx.put(&tables.providers, key.clone(), row);
            }
        }
        Resource::Service(key) => {
            if let Some(row) = tx.get(&tables.services.rows, key) {
                let row = Service { tags, ..Service::clone(&row) };
                tx.put(&tables.services.rows, key.clone(), row);
            }
        }
        Resource::TaskSet(key) => {
            if let Some(row) = tx.get(&tables.services.task_sets, key) {
                let row = TaskSet { tags, ..TaskSet::clone(&row) };
                tx.put(&tables.services.task_sets, key.clone(), row);
            }
        }
    }
}

/// The resource that an ARN means.
///
/// # Errors
/// When it is no ARN of ECS, has the short form, or is not of this account and region.
fn read(scope: &Scope, text: &str) -> Result<Resource, Error> {
    let invalid = || Error::invalid("The ARN provided is invalid.");
    let fields: Vec<_> = text.splitn(6, ':').collect();
    let ["arn", _, "ecs", region, account, name] = fields[..] else {
        return Err(invalid());
    };
    let (kind, rest) = name.split_once('/').ok_or_else(invalid)?;
    let here = region.parse::<Region>().is_ok_and(|region| region == scope.region)
        && account.parse::<AccountId>().is_ok_and(|account| account == scope.account);
    if !here || rest.is_empty() {
        return Err(invalid());
    }
    if matches!(kind, "task" | "container-instance" | "service") && !rest.contains('/') {
        // Observed on ECS.
        return Err(Error::invalid("Long arn format must be used for tagging operations"));
    }
    match kind {
        "cluster" => {
            let arn: ClusterArn = text.parse().map_err(|_| invalid())?;
            Ok(Resource::Cluster(scope.cluster(arn.name)))
        }
        "task" => {
            let arn: TaskArn = text.parse().map_err(|_| invalid())?;
            Ok(Resource::Task(task_key(&arn)))
        }
        "container-instance" => {
            let arn: ContainerInstanceArn = text.parse().map_err(|_| invalid())?;
            Ok(Resource::Instance(instance_key(&arn)))
        }
        "task-definition" => {
            let arn: TaskDefinitionArn = text.parse().map_err(|_| invalid())?;
            Ok(Resource::Definition(definition_key(&arn)))
        }
        "capacity-provider" => {
            let arn: CapacityProviderArn = text.parse().map_err(|_| invalid())?;
            Ok(Resource::Provider((scope.clone(), arn.name)))
        }
        "service" => {
            let arn: ServiceArn = text.parse().map_err(|_| invalid())?;
            Ok(Resource::Service(service_key(&arn)))
        }
        "task-set" => {
            let (key, id) = target::of_service(scope, "task-set", text).ok_or_else(invalid)?;
            Ok(Resource::TaskSet((key, id.parse().map_err(|_| invalid())?)))
        }
        _ => Err(invalid()),
    }
}

fn unknown(what: &str) -> Error {
    Error::ResourceNotFound(format!(
        "The specified {what} does not exist. Specify a valid {what} ARN and try again."
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::task_sets;

    fn scope() -> Scope {
        let (account, region) = ("000000000000".parse().unwrap(), "us-east-1".parse().unwrap());
        Scope { account, region }
    }

    /// ARNs of every kind, good and bad, put together at random.
    fn arn() -> impl Strategy<Value = String> {
        const KINDS: [&str; 7] = [
            "cluster",
            "task",
            "service",
            "container",
            "container-instance",
            "task-definition",
            "capacity-provider",
        ];
        const PIECES: [&str; 10] = [
            "arn:",
            ":",
            "/",
            "web",
            "a-b",
            "1",
            "01",
            "0123456789abcdef0123456789abcdef",
            "ü",
            " ",
        ];
        const STARTS: [&str; 3] = ["arn:aws:ecs:us-east-1:000000000000:", "arn:aws:ecs:", ""];
        let id = "0123456789abcdef0123456789abcdef";
        let good = ["web", "web:7", "web/ü"].map(str::to_owned).into_iter();
        let good = good.chain([format!("web/{id}"), format!("{id}/web")]).collect::<Vec<_>>();
        let pieces = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..5);
        let rest =
            prop_oneof![prop::sample::select(good), pieces.prop_map(|pieces| pieces.concat()),];
        let start = prop_oneof![9 => Just(STARTS[0]), 1 => prop::sample::select(&STARTS[..])];
        (start, prop::sample::select(&KINDS[..]), rest)
            .prop_map(|(start, kind, rest)| format!("{start}{kind}/{rest}"))
    }

    proptest! {
        #[test]
        fn an_arn_that_is_read_is_written_the_same(text in arn()) {
            let written = match read(&scope(), &text) {
                Err(_) => return Ok(()),
                Ok(Resource::Cluster(key)) => key.arn().to_string(),
                Ok(Resource::Task(key)) => key.0.task_arn(key.1).to_string(),
                Ok(Resource::Instance(key)) => key.0.instance_arn(key.1).to_string(),
                Ok(Resource::Definition(key)) => key.0.definition_arn(key.1, key.2).to_string(),
                Ok(Resource::Provider(key)) => key.0.provider_arn(key.1).to_string(),
                Ok(Resource::Service(key)) => key.0.service_arn(key.1).to_string(),
                Ok(Resource::TaskSet(key)) => task_sets::arn(&key.0, key.1),
            };
            prop_assert_eq!(written, text);
        }
    }
}
