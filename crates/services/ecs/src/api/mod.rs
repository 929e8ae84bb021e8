//! The operations that are built, each with its handler.

mod account_settings;
mod attributes;
mod capacity_providers;
mod clusters;
mod constraints;
mod container_instances;
mod execute_command;
mod missing;
mod page;
mod service_deployments;
mod service_revisions;
pub(crate) mod services;
mod strategies;
mod strategy;
pub(crate) mod tagging;
mod tags;
pub(crate) mod target;
mod task_definitions;
mod task_sets;
mod tasks;

use std::sync::Arc;

pub(crate) use self::container_instances::show_instance;
pub(crate) use self::execute_command::stream_url;
pub(crate) use self::service_deployments::arn as service_deployment_arn;
pub(crate) use self::service_revisions::arn as service_revision_arn;
pub(crate) use self::services::forget as forget_service;
pub(crate) use self::task_sets::arn as task_set_arn;
pub(crate) use self::tasks::{
    NO_CAPACITY, Outlook, Placed, Refused, ServiceTemplate, Taken, definition_constraints, refused,
    service_strategies, show_task,
};

use ledger::Ledger;
use shapes_ecs as shapes;
use shapes_ecs::operations as ops;
use terms::IdSource;
use wire::{Operation, Service, ServiceError};

use crate::error::Error;
use crate::placing::Placer;
use crate::sessions::Sessions;
use crate::tables::{ClusterKey, Scope, Tables};

/// What handlers work with.
pub(crate) struct Api {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) placer: Placer,
    /// What agents say that no row holds.
    pub(crate) sessions: Sessions,
    /// Seeds of placements.
    pub(crate) ids: Arc<dyn IdSource>,
    /// The base URL that agents connect to; the one that they called, if not set.
    pub(crate) agent_endpoint: Option<String>,
    /// Interfaces of tasks.
    pub(crate) vpc: vpc::Tables,
    /// Alarms that end deployments, once they are known.
    pub(crate) alarms: std::sync::OnceLock<cloudwatch::Tables>,
    /// Target groups that forward to tasks, once they are known.
    pub(crate) balancers: std::sync::OnceLock<elbv2::Tables>,
    /// Who calls the functions of lifecycle hooks, once it is known.
    pub(crate) hooks: std::sync::OnceLock<Arc<dyn crate::HookCaller>>,
    /// Who knows the roles of tasks, once it is known.
    pub(crate) identities: std::sync::OnceLock<iam::Iam>,
    /// What the scheduler of services gets wrong; nothing, but in simulations.
    pub(crate) mistake: std::sync::OnceLock<crate::Mistake>,
}

/// The ACTIVE cluster that a name or an ARN means to whoever sees `scope`.
///
/// # Errors
/// When there is none.
pub(crate) fn cluster_of(
    api: &Api,
    scope: &Scope,
    name: Option<&str>,
) -> Result<ClusterKey, Error> {
    let cluster = target::cluster(scope, name)?;
    target::active_cluster(&api.ledger.snapshot(), &api.tables, &cluster)?;
    Ok(cluster)
}

/// Adds handlers: the operation, then the method of [`Api`] that answers it.
macro_rules! operations {
    ($api:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let api = Arc::clone(&$api);
            move |context, input| {
                let api = Arc::clone(&api);
                async move {
                    api.$handler(context, input).await.map_err(answer::<ops::$operation>)
                }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(api: Arc<Api>) -> Service {
    operations! { api, Service::new(&shapes::SERVICE).explain(missing::explain),
        CreateCapacityProvider => create_capacity_provider;
        ContinueServiceDeployment => continue_service_deployment;
        CreateCluster => create_cluster;
        CreateService => create_service;
        CreateTaskSet => create_task_set;
        DeleteAccountSetting => delete_account_setting;
        DeleteAttributes => delete_attributes;
        DeleteCapacityProvider => delete_capacity_provider;
        DeleteCluster => delete_cluster;
        DeleteService => delete_service;
        DeleteTaskDefinitions => delete_task_definitions;
        DeleteTaskSet => delete_task_set;
        DeregisterContainerInstance => deregister_container_instance;
        DeregisterTaskDefinition => deregister_task_definition;
        DescribeCapacityProviders => describe_capacity_providers;
        DescribeClusters => describe_clusters;
        DescribeContainerInstances => describe_container_instances;
        DescribeServiceDeployments => describe_service_deployments;
        DescribeServiceRevisions => describe_service_revisions;
        DescribeServices => describe_services;
        DescribeTaskDefinition => describe_task_definition;
        DescribeTaskSets => describe_task_sets;
        DescribeTasks => describe_tasks;
        DiscoverPollEndpoint => discover_poll_endpoint;
        ExecuteCommand => execute_command;
        GetTaskProtection => get_task_protection;
        ListAccountSettings => list_account_settings;
        ListAttributes => list_attributes;
        ListClusters => list_clusters;
        ListContainerInstances => list_container_instances;
        ListServiceDeployments => list_service_deployments;
        ListServices => list_services;
        ListServicesByNamespace => list_services_by_namespace;
        ListTagsForResource => list_tags_for_resource;
        ListTaskDefinitionFamilies => list_task_definition_families;
        ListTaskDefinitions => list_task_definitions;
        ListTasks => list_tasks;
        PutAccountSetting => put_account_setting;
        PutAccountSettingDefault => put_account_setting_default;
        PutAttributes => put_attributes;
        PutClusterCapacityProviders => put_cluster_capacity_providers;
        RegisterContainerInstance => register_container_instance;
        RegisterTaskDefinition => register_task_definition;
        RunTask => run_task;
        StartTask => start_task;
        StopServiceDeployment => stop_service_deployment;
        StopTask => stop_task;
        SubmitAttachmentStateChanges => submit_attachment_state_changes;
        SubmitContainerStateChange => submit_container_state_change;
        SubmitTaskStateChange => submit_task_state_change;
        TagResource => tag_resource;
        UntagResource => untag_resource;
        UpdateCapacityProvider => update_capacity_provider;
        UpdateCluster => update_cluster;
        UpdateClusterSettings => update_cluster_settings;
        UpdateContainerAgent => update_container_agent;
        UpdateContainerInstancesState => update_container_instances_state;
        UpdateService => update_service;
        UpdateServicePrimaryTaskSet => update_service_primary_task_set;
        UpdateTaskProtection => update_task_protection;
        UpdateTaskSet => update_task_set;
    }
}

/// What any operation may answer, whatever its model declares: the errors that all AWS APIs share
/// (clients back off from a throttling by its code alone), and what is not built.
const COMMON_ERRORS: [&str; 3] =
    ["AccessDeniedException", "NotImplementedException", "ThrottlingException"];

/// The error as this operation may answer it: one that neither its model declares nor all APIs share
/// is told as a ClientException, as ECS does (an agent without a cluster looks for the text alone).
fn answer<O: Operation>(error: Error) -> ServiceError {
    let error = ServiceError::from(error);
    let code = error.code.as_str();
    if O::ERRORS.contains(&code) || COMMON_ERRORS.contains(&code) {
        return error;
    }
    let code = match error.code.as_str() {
        // ListTagsForResource, unlike its sisters, does not declare it.
        "ResourceNotFoundException" => "InvalidParameterException",
        // RegisterContainerInstance, unlike PutAttributes, does not.
        "AttributeLimitExceededException" => "InvalidParameterException",
        _ => "ClientException",
    };
    ServiceError { code: code.to_owned(), ..error }
}

/// The settings of a cluster that the server itself makes: the account's.
pub(crate) fn usual_settings(
    view: &impl ledger::View,
    tables: &Tables,
    key: &ClusterKey,
) -> Vec<(String, String)> {
    let root = account_settings::root(&key.scope);
    clusters::configuration::usual_settings(view, tables, key, &root)
}

/// How logs are delivered whose configuration does not say it: the account's
/// `defaultLogDriverMode`.
pub(crate) fn default_log_mode(view: &impl ledger::View, tables: &Tables, scope: &Scope) -> String {
    let name = shapes::SettingName::DefaultLogDriverMode;
    account_settings::resolve(view, tables, scope, &account_settings::root(scope), name).value
}

/// The failure of an item that is not there.
fn missing(arn: String) -> shapes::Failure {
    shapes::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// The ARN that a failure names: what was asked for, made whole if it was an id.
fn arn_of(cluster: &ClusterKey, kind: &str, text: &str) -> String {
    if text.starts_with("arn:") {
        return text.to_owned();
    }
    let (scope, name) = (&cluster.scope, &cluster.name);
    format!("arn:aws:ecs:{}:{}:{kind}/{name}/{text}", scope.region, scope.account)
}

/// The length of a shape as JSON, in bytes.
fn json_length<T: wire::value::Structure + wire::value::Value>(shape: &T) -> usize {
    crate::model::json(shape).len()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ops::{ListClusters, RegisterContainerInstance};

    use super::*;

    #[test]
    fn a_throttling_keeps_its_code_where_the_model_does_not_declare_it() {
        let throttled = Error::Throttled { retry_after: Duration::from_secs(1) };
        let answer = answer::<RegisterContainerInstance>(throttled);
        assert_eq!(answer.code, "ThrottlingException");
        assert_eq!(answer.retry_after, Some(Duration::from_secs(1)));
    }

    #[test]
    fn an_error_that_is_not_declared_is_a_client_exception() {
        let answer = answer::<ListClusters>(Error::ClusterNotFound);
        assert_eq!(answer.code, "ClientException");
    }
}
