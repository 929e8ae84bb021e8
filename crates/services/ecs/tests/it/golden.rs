//! Every operation, success and each error, as text under `golden/`.

use super::conversation::play;

macro_rules! conversations {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            play(stringify!($name)).await;
        }
    )*};
}

conversations! {
    account_settings
    attributes
    capacity_providers
    cluster_capacity_providers
    cluster_settings
    clusters
    container_definitions
    container_instances
    definition_launch_types
    definition_lifecycle
    definition_rules
    devices
    expressions
    missing_members
    networks
    platforms
    plan
    instance_states
    registrations
    reports
    run_task
    run_task_rules
    run_task_tokens
    provider_strategies
    running_tasks
    service_deployments
    service_lists
    service_rules
    service_updates
    services
    task_sets
    unknown_clusters
    start_task
    stop_and_list
    tagging
    task_definitions
    task_protection
}
