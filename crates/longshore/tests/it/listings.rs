//! Clusters, capacity providers, settings and tags through the unmodified Rust SDK: its paginators
//! walk listings to their end, and its error types are told apart.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    AutoScalingGroupProvider, CapacityProviderStatus, CapacityProviderUpdateStatus, SettingName,
    Tag,
};

use crate::harness::Up;
use crate::sdk::client;

#[tokio::test]
async fn paginators_walk_listings_to_their_end() {
    let up = Up::start(&[]);
    let ecs = client(&up);
    let names: Vec<String> = (0..23).map(|number| format!("c{number}")).collect();
    for name in &names {
        ecs.create_cluster().cluster_name(name).send().await.unwrap();
    }
    let listed = ecs.list_clusters().into_paginator().page_size(5).items().send();
    let listed: Vec<String> = listed.collect::<Result<_, _>>().await.unwrap();
    let listed: Vec<_> = listed.iter().filter_map(|arn| arn.rsplit('/').next()).collect();
    let wanted: BTreeSet<&str> = names.iter().map(String::as_str).chain(["default"]).collect();
    assert_eq!(listed.len(), wanted.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), wanted);

    let all = ecs.list_account_settings().effective_settings(true);
    let settings = all.into_paginator().page_size(4).items().send();
    let settings: Vec<_> = settings.collect::<Result<_, _>>().await.unwrap();
    let mut kinds: Vec<&str> = settings.iter().filter_map(|s| Some(s.name()?.as_str())).collect();
    kinds.dedup();
    assert_eq!(kinds.len(), settings.len());
    let name = SettingName::ContainerInsights;
    ecs.put_account_setting_default().name(name.clone()).value("enabled").send().await.unwrap();
    let made = ecs.create_cluster().cluster_name("new").send().await.unwrap();
    assert_eq!(made.cluster().unwrap().settings()[0].value(), Some("enabled"));
}

#[tokio::test]
async fn a_provider_is_freed_before_it_is_deleted() {
    let up = Up::start(&[]);
    let ecs = client(&up);
    let group = AutoScalingGroupProvider::builder().auto_scaling_group_arn("web").build().unwrap();
    let tag = Tag::builder().key("team").value("blue").build();
    let create = ecs.create_capacity_provider().name("mine").auto_scaling_group_provider(group);
    let made = create.tags(tag).send().await.unwrap();
    let arn = made.capacity_provider().unwrap().capacity_provider_arn().unwrap().to_owned();
    let tags = ecs.list_tags_for_resource().resource_arn(&arn).send().await.unwrap();
    assert_eq!(tags.tags()[0].value(), Some("blue"));

    let put = |providers: Vec<String>| {
        let request = ecs.put_cluster_capacity_providers().cluster("default");
        let request = request.set_default_capacity_provider_strategy(Some(Vec::new()));
        request.set_capacity_providers(Some(providers)).send()
    };
    let error = put(vec!["none".to_owned()]).await.unwrap_err();
    assert!(error.into_service_error().is_invalid_parameter_exception());
    put(vec!["mine".to_owned()]).await.unwrap();
    let delete = || async {
        let gone = ecs.delete_capacity_provider().capacity_provider(&arn).send().await.unwrap();
        gone.capacity_provider().unwrap().update_status().cloned()
    };
    assert_eq!(delete().await, Some(CapacityProviderUpdateStatus::DeleteFailed));
    put(Vec::new()).await.unwrap();
    assert_eq!(delete().await, Some(CapacityProviderUpdateStatus::DeleteInProgress));
    let shown = ecs.describe_capacity_providers().capacity_providers("mine").send().await.unwrap();
    let shown = &shown.capacity_providers()[0];
    assert_eq!(shown.status(), Some(&CapacityProviderStatus::Inactive));
    let error = ecs.list_tags_for_resource().resource_arn(&arn).send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_parameter_exception());
}
