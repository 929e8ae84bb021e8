//! The environment of a container.

use std::collections::BTreeMap;

use shapes_ecs as shapes;

use super::{Context, TaskEndpoint};

/// The definition's variables, the override's in their place or beside them, and what the control
/// plane adds where neither says otherwise: `AWS_EXECUTION_ENV`, which the agent only reads here,
/// and the way to the API (design.md §5).
pub(super) fn of(
    context: &Context<'_>,
    spec: &shapes::ContainerDefinition,
    overrides: Option<&shapes::ContainerOverride>,
) -> BTreeMap<String, String> {
    let pairs = |pairs: Option<&Vec<shapes::KeyValuePair>>| {
        let pairs = pairs.into_iter().flatten();
        let pair = |pair: &shapes::KeyValuePair| {
            Some((pair.name.clone()?, pair.value.clone().unwrap_or_default()))
        };
        pairs.filter_map(pair).collect::<Vec<_>>()
    };
    let mut environment = added(context);
    environment.extend(pairs(spec.environment.as_ref()));
    environment.extend(pairs(overrides.and_then(|o| o.environment.as_ref())));
    for secret in spec.secrets.iter().flatten() {
        // A secret of that name comes later, from the agent, and is not to be hidden.
        environment.remove(&secret.name);
    }
    environment
}

fn added(context: &Context<'_>) -> BTreeMap<String, String> {
    let region = context.task.arn.region.as_str();
    let mut added = vec![("AWS_EXECUTION_ENV", "AWS_ECS_EC2")];
    if let TaskEndpoint::Url(url) = &context.settings.endpoint {
        let way = [
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("AWS_REGION", region),
            ("AWS_DEFAULT_REGION", region),
        ];
        added.extend(way);
    }
    added.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
