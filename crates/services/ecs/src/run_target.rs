//! ECS clusters as targets of events: each event runs tasks (EventBridge API reference,
//! EcsParameters).

use std::sync::Arc;

use async_trait::async_trait;
use events::shapes as of_events;
use events::{Delivery, Failure, Target};
use ledger::LedgerError;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shapes_ecs as shapes;
use terms::{ClusterArn, Uuid};
use wire::check::Check;
use wire::protocol::JsonReader;
use wire::value::{Enumeration, Value as _};
use wire::{Caller, CallerKind, Context, ServiceError};

use crate::Ecs;
use crate::api::Api;
use crate::error::Error;

/// Longest `startedBy`, in characters.
const STARTED_BY_CHARS: usize = 36;
/// Members of a payload that are overrides of a task; a payload without them is none.
const OVERRIDES: [&str; 6] =
    ["containerOverrides", "cpu", "memory", "taskRoleArn", "executionRoleArn", "ephemeralStorage"];

/// Runs tasks for events. Cheap to clone.
#[derive(Clone)]
struct RunTarget(Arc<Api>);

impl Ecs {
    /// Takes events whose targets are clusters, and runs tasks for them.
    pub fn event_target(&self) -> Arc<dyn Target> {
        Arc::new(RunTarget(self.api.clone()))
    }
}

#[async_trait]
impl Target for RunTarget {
    fn takes(&self, arn: &str) -> bool {
        arn.starts_with("arn:aws:ecs:") && arn.contains(":cluster/")
    }

    fn check(&self, target: &of_events::Target) -> Result<(), (String, String)> {
        if target.arn.parse::<ClusterArn>().is_err() {
            let text = format!("Parameter {} is not valid.", target.arn);
            return Err(("ValidationException".to_owned(), text));
        }
        Ok(())
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let mut outcomes = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            outcomes.push(self.run(delivery).await);
        }
        outcomes
    }
}

impl RunTarget {
    /// Runs the tasks of one event, each by a client token that follows from the event: a delivery
    /// that is made again runs those that found no place, and no other twice.
    async fn run(&self, delivery: &Delivery) -> Result<(), Failure> {
        let cluster: ClusterArn = delivery.arn().parse().map_err(|_| {
            Failure::lasting("ClusterNotFoundException", "The ARN is no cluster's.")
        })?;
        let input = request(delivery, &cluster)?;
        let count = delivery.target.ecs_parameters.as_ref().and_then(|wanted| wanted.task_count);
        let mut outcome = Ok(());
        for number in 0..count.unwrap_or(1) {
            let client_token = Some(token(delivery, number));
            let one = shapes::RunTaskRequest { client_token, ..input.clone() };
            outcome = outcome.and(self.run_one(&cluster, one).await);
        }
        outcome
    }

    async fn run_one(
        &self,
        cluster: &ClusterArn,
        input: shapes::RunTaskRequest,
    ) -> Result<(), Failure> {
        let context = Context {
            caller: Arc::new(Caller {
                account: cluster.account.clone(),
                region: cluster.region.clone(),
                arn: format!("arn:aws:iam::{}:root", cluster.account),
                user_id: cluster.account.to_string(),
                access_key_id: String::new(),
                kind: CallerKind::Operator,
            }),
            request_id: Uuid::from_random(self.0.ids.next()),
            now: self.0.ledger.clock().now(),
            service: "ecs",
            operation: "RunTask",
            source: None,
            user_agent: None,
            session_token: None,
            endpoint: String::new(),
        };
        let answer = self.0.run_task(context, input).await.map_err(failure)?;
        match answer.failures.into_iter().flatten().next() {
            None => Ok(()),
            // HTTP 200 with failures is what users of EventBridge lose silently; here it is tried
            // again.
            Some(refused) => {
                let reason = refused.reason.unwrap_or_default();
                let detail = refused.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
                Err(Failure::passing(reason.clone(), format!("{reason}{detail}")))
            }
        }
    }
}

/// Whether a refusal may pass.
fn failure(error: Error) -> Failure {
    let may_pass = match &error {
        Error::Throttled { .. } => true,
        Error::Storage(cause) => !matches!(**cause, LedgerError::RowTooLarge { .. }),
        // No instance is there yet.
        Error::InvalidParameter(text) => text.starts_with("No Container Instances"),
        _ => false,
    };
    let told = ServiceError::from(error);
    match may_pass {
        true => Failure::passing(told.code, told.message),
        false => Failure::lasting(told.code, told.message),
    }
}

/// What RunTask is asked for one task of an event.
fn request(delivery: &Delivery, cluster: &ClusterArn) -> Result<shapes::RunTaskRequest, Failure> {
    let wrong = |text: &str| Failure::lasting("InvalidParameterException", text);
    let parameters = delivery.target.ecs_parameters.as_ref();
    let parameters = parameters.ok_or_else(|| wrong("The target has no EcsParameters."))?;
    let tags = parameters
        .tags
        .iter()
        .flatten()
        .map(|tag| shapes::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) });
    let started_by = format!("events-rule/{}", delivery.rule_name);
    let network = parameters.network_configuration.as_ref();
    let network = network.and_then(|network| network.awsvpc_configuration.as_ref());
    Ok(shapes::RunTaskRequest {
        capacity_provider_strategy: items(&parameters.capacity_provider_strategy, |item| {
            shapes::CapacityProviderStrategyItem {
                base: item.base,
                capacity_provider: item.capacity_provider.clone(),
                weight: item.weight,
            }
        }),
        cluster: Some(cluster.to_string()),
        count: Some(1),
        enable_ecs_managed_tags: parameters.enable_ecs_managed_tags,
        enable_execute_command: parameters.enable_execute_command,
        group: parameters.group.clone(),
        launch_type: parameters
            .launch_type
            .and_then(|launch_type| shapes::LaunchType::parse(launch_type.as_str())),
        network_configuration: network.map(|network| shapes::NetworkConfiguration {
            awsvpc_configuration: Some(shapes::AwsVpcConfiguration {
                assign_public_ip: network
                    .assign_public_ip
                    .and_then(|assign| shapes::AssignPublicIp::parse(assign.as_str())),
                security_groups: network.security_groups.clone(),
                subnets: network.subnets.clone(),
            }),
        }),
        overrides: overrides(&delivery.payload)?,
        placement_constraints: items(&parameters.placement_constraints, |item| {
            shapes::PlacementConstraint {
                expression: item.expression.clone(),
                type_: item
                    .type_
                    .and_then(|kind| shapes::PlacementConstraintType::parse(kind.as_str())),
            }
        }),
        placement_strategy: items(&parameters.placement_strategy, |item| {
            shapes::PlacementStrategy {
                field: item.field.clone(),
                type_: item
                    .type_
                    .and_then(|kind| shapes::PlacementStrategyType::parse(kind.as_str())),
            }
        }),
        platform_version: parameters.platform_version.clone(),
        propagate_tags: parameters
            .propagate_tags
            .and_then(|from| shapes::PropagateTags::parse(from.as_str())),
        reference_id: parameters.reference_id.clone(),
        started_by: Some(started_by.chars().take(STARTED_BY_CHARS).collect()),
        tags: Some(tags.collect::<Vec<_>>()).filter(|tags| !tags.is_empty()),
        task_definition: parameters.task_definition_arn.clone(),
        ..Default::default()
    })
}

/// A list in ECS's shapes; none if it is empty.
fn items<A, B>(list: &Option<Vec<A>>, item: impl Fn(&A) -> B) -> Option<Vec<B>> {
    let list = list.as_ref().filter(|list| !list.is_empty())?;
    Some(list.iter().map(item).collect())
}

/// The same for one task of an event, a rule and a target always, and for no other: 64 hexadecimal
/// digits, which is as long as a token may be.
fn token(delivery: &Delivery, number: i32) -> String {
    let Delivery { event_id, rule_arn, target, .. } = delivery;
    // None of them has a line break.
    let of = format!("{event_id}\n{rule_arn}\n{}\n{number}", target.id);
    Sha256::digest(of.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The overrides that a payload holds; none if it has nothing of them, as an event has.
fn overrides(payload: &str) -> Result<Option<shapes::TaskOverride>, Failure> {
    let wrong = |text: String| Failure::lasting("InvalidParameterException", text);
    if payload.trim().is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_str(payload)
        .map_err(|error| wrong(format!("The input is no JSON: {error}")))?;
    if !OVERRIDES.iter().any(|name| value.get(name).is_some()) {
        return Ok(None);
    }
    let mut check = Check::strict();
    let mut read = None;
    let body = payload.as_bytes();
    let outcome = JsonReader::read_document(body, &mut check, &mut |reader| {
        use wire::value::Structure;
        read = shapes::TaskOverride::read(reader, shapes::TaskOverride::SCHEMA)?;
        Ok(())
    });
    outcome.map_err(|error| wrong(error.message))?;
    match check.violations() {
        [] => Ok(read),
        violations => Err(wrong(wire::check::describe(violations))),
    }
}
