//! DescribeCapacityProviders, and providers as the API shows them.

use ledger::{Snapshot, View};
use shapes_ecs as shapes;
use terms::CapacityProviderName;
use wire::Context;

use super::super::{Api, missing, page::Page, tags, target};
use super::name_of;
use crate::error::Error;
use crate::model::{
    CapacityProvider, FARGATE, ManagedScaling, ProviderStatus, ProviderUpdate, is_fargate,
};
use crate::tables::{Scope, Tables};

/// Most providers that one request may name.
const MAX_DESCRIBED: usize = 100;
/// Most providers of a page (ECS semantics §1.1).
const PAGE_ITEMS: usize = 10;

impl Api {
    /// Describes the providers that are named, those of a cluster, or all, Fargate's first.
    /// Unknown ones are failures.
    pub(crate) async fn describe_capacity_providers(
        &self,
        context: Context,
        input: shapes::DescribeCapacityProvidersRequest,
    ) -> Result<shapes::DescribeCapacityProvidersResponse, Error> {
        let scope = target::scope(&context);
        let (snapshot, tables) = (self.ledger.snapshot(), &self.tables);
        let cluster = input.cluster.as_deref().filter(|cluster| !cluster.is_empty());
        let cluster = cluster.map(|text| cluster_members(&snapshot, tables, &scope, text));
        let cluster = cluster.transpose()?;
        let named = input.capacity_providers.filter(|names| !names.is_empty());
        if named.as_ref().is_some_and(|names| names.len() > MAX_DESCRIBED) {
            return Err(Error::invalid("Capacity providers can have at most 100 items."));
        }
        let filters = (&named, &input.cluster);
        let (operation, token) = ("DescribeCapacityProviders", input.next_token.as_deref());
        let page = Page::open_up_to(PAGE_ITEMS, operation, &filters, input.max_results, token)?;
        let wanted = named.unwrap_or_else(|| match &cluster {
            Some(members) => members.iter().map(ToString::to_string).collect(),
            None => all(&snapshot, tables, &scope),
        });
        let from = page.after_as::<usize>()?.map_or(0, |last| last.saturating_add(1));
        let wanted = wanted.into_iter().enumerate().skip(from);
        let (wanted, next_token) = page.take(wanted, |(index, _)| index.to_string());
        let with_tags = input.include.is_some_and(|fields| !fields.is_empty());
        let (mut providers, mut failures) = (Vec::new(), Vec::new());
        for (_, text) in wanted {
            let name = name_of(&scope, &text);
            let name = name.filter(|name| cluster.as_ref().is_none_or(|all| all.contains(name)));
            match name.and_then(|name| found(&snapshot, tables, &scope, name, with_tags)) {
                Some(provider) => providers.push(provider),
                None => failures.push(missing(arn_of(&scope, text))),
            }
        }
        Ok(shapes::DescribeCapacityProvidersResponse {
            capacity_providers: Some(providers),
            failures: Some(failures),
            next_token,
        })
    }
}

/// The providers of a cluster.
fn cluster_members(
    snapshot: &Snapshot,
    tables: &Tables,
    scope: &Scope,
    text: &str,
) -> Result<Vec<CapacityProviderName>, Error> {
    let key = target::cluster(scope, Some(text))?;
    Ok(target::active_cluster(snapshot, tables, &key)?.capacity_providers.clone())
}

/// The names of all providers that were not deleted.
fn all(snapshot: &Snapshot, tables: &Tables, scope: &Scope) -> Vec<String> {
    let rows = snapshot.prefix(&tables.providers, scope);
    let active = rows.filter(|(_, row)| row.status == ProviderStatus::Active);
    let ours = active.map(|(key, _)| key.1.to_string());
    FARGATE.iter().map(|&name| name.to_owned()).chain(ours).collect()
}

fn found(
    view: &impl View,
    tables: &Tables,
    scope: &Scope,
    name: CapacityProviderName,
    with_tags: bool,
) -> Option<shapes::CapacityProvider> {
    if is_fargate(&name) {
        return Some(show_fargate(scope, &name));
    }
    let row = view.get(&tables.providers, &(scope.clone(), name))?;
    Some(show(scope, &row, with_tags))
}

fn arn_of(scope: &Scope, text: String) -> String {
    if text.starts_with("arn:") {
        return text;
    }
    let Scope { region, account } = scope;
    format!("arn:aws:ecs:{region}:{account}:capacity-provider/{text}")
}

fn show_fargate(scope: &Scope, name: &CapacityProviderName) -> shapes::CapacityProvider {
    let kind = match name.as_str() {
        "FARGATE_SPOT" => shapes::CapacityProviderType::FargateSpot,
        _ => shapes::CapacityProviderType::Fargate,
    };
    shapes::CapacityProvider {
        capacity_provider_arn: Some(scope.provider_arn(name.clone()).to_string()),
        name: Some(name.to_string()),
        status: Some(shapes::CapacityProviderStatus::Active),
        tags: Some(Vec::new()),
        type_: Some(kind),
        ..Default::default()
    }
}

/// A provider as the API shows it.
pub(super) fn show(
    scope: &Scope,
    row: &CapacityProvider,
    with_tags: bool,
) -> shapes::CapacityProvider {
    let (update_status, update_status_reason) = match &row.update {
        None => (None, None),
        Some(ProviderUpdate::Updated) => {
            (Some(shapes::CapacityProviderUpdateStatus::UpdateComplete), None)
        }
        Some(ProviderUpdate::Deleted) => {
            (Some(shapes::CapacityProviderUpdateStatus::DeleteComplete), None)
        }
        Some(ProviderUpdate::DeleteFailed { reason }) => {
            (Some(shapes::CapacityProviderUpdateStatus::DeleteFailed), Some(reason.clone()))
        }
    };
    shapes::CapacityProvider {
        auto_scaling_group_provider: Some(show_group(row)),
        capacity_provider_arn: Some(scope.provider_arn(row.name.clone()).to_string()),
        name: Some(row.name.to_string()),
        status: Some(match row.status {
            ProviderStatus::Active => shapes::CapacityProviderStatus::Active,
            ProviderStatus::Inactive => shapes::CapacityProviderStatus::Inactive,
        }),
        tags: Some(if with_tags { tags::show(&row.tags) } else { Vec::new() }),
        type_: Some(shapes::CapacityProviderType::Ec2Autoscaling),
        update_status,
        update_status_reason,
        ..Default::default()
    }
}

fn show_group(row: &CapacityProvider) -> shapes::AutoScalingGroupProvider {
    let ManagedScaling { enabled, target_percent, minimum_step, maximum_step, warmup_s } =
        &row.scaling;
    let number = |number: &u32| i32::try_from(*number).ok();
    let scaling = shapes::ManagedScaling {
        instance_warmup_period: number(warmup_s),
        maximum_scaling_step_size: number(maximum_step),
        minimum_scaling_step_size: number(minimum_step),
        status: Some(if *enabled {
            shapes::ManagedScalingStatus::Enabled
        } else {
            shapes::ManagedScalingStatus::Disabled
        }),
        target_capacity: number(target_percent),
    };
    shapes::AutoScalingGroupProvider {
        auto_scaling_group_arn: row.group.clone(),
        managed_draining: Some(if row.draining {
            shapes::ManagedDraining::Enabled
        } else {
            shapes::ManagedDraining::Disabled
        }),
        managed_scaling: Some(scaling),
        managed_termination_protection: Some(if row.termination_protection {
            shapes::ManagedTerminationProtection::Enabled
        } else {
            shapes::ManagedTerminationProtection::Disabled
        }),
    }
}
