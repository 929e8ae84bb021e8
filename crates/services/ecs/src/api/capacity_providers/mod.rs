//! Capacity providers: create, update, delete (ECS semantics §12).
//!
//! They are records: nothing scales an Auto Scaling group yet, and whether a group is there, or
//! protects its instances, is not checked.

mod describe;
mod group;

use ledger::{Row, Snapshot, View};
use shapes_ecs as shapes;
use terms::{CapacityProviderArn, CapacityProviderName};
use wire::Context;

use super::{Api, tags, target};
use crate::error::Error;
use crate::model::{CapacityProvider, ProviderStatus, ProviderUpdate, is_fargate};
use crate::tables::{ProviderKey, Scope, Tables};
use describe::show;
use group::Group;

/// Most capacity providers of an account in a region that were not deleted: as many as clusters
/// can have (ECS publishes no number).
const MAX_PROVIDERS: usize = 10_000;
/// What names must not begin with, in any case.
const RESERVED: [&str; 3] = ["aws", "ecs", "fargate"];

impl Api {
    /// Makes a provider over an Auto Scaling group.
    pub(crate) async fn create_capacity_provider(
        &self,
        context: Context,
        input: shapes::CreateCapacityProviderRequest,
    ) -> Result<shapes::CreateCapacityProviderResponse, Error> {
        let name = new_name(&input.name)?;
        if input.managed_instances_provider.is_some() {
            return Err(Error::not_built("CreateCapacityProvider", "managedInstancesProvider"));
        }
        refuse_cluster(input.cluster.as_deref())?;
        let group = input
            .auto_scaling_group_provider
            .ok_or_else(|| Error::invalid("The autoScalingGroupProvider must be specified."))?;
        let (arn, group) = Group::create(group)?;
        let tags = tags::read(input.tags)?;
        let (tables, scope) = (self.tables, target::scope(&context));
        let full = is_full(&self.ledger.snapshot(), &tables, &scope);
        let key = (scope, name);
        let made = self.ledger.transact("create capacity provider", |tx| {
            if tx.get(&tables.providers, &key).is_some_and(is_active) {
                // Observed on ECS.
                return Err(Error::client(
                    "The specified capacity provider already exists. To change the configuration \
                     of an existing capacity provider, update the capacity provider.",
                ));
            }
            let same_group = (key.0.clone(), crate::model::group_name(&arn).to_owned());
            if tx.index(&tables.providers_by_group, &same_group).next().is_some() {
                // Observed on ECS.
                return Err(Error::client(
                    "The specified Auto Scaling group ARN is already being used by another \
                     capacity provider. Specify a unique Auto Scaling group ARN and try again.",
                ));
            }
            if full {
                let text = "The maximum number of capacity providers has been exceeded.";
                return Err(Error::LimitExceeded(text.to_owned()));
            }
            let Group { scaling, termination_protection, draining } = group.clone();
            let provider = CapacityProvider {
                name: key.1.clone(),
                status: ProviderStatus::Active,
                update: None,
                group: arn.clone(),
                scaling,
                termination_protection,
                draining,
                tags: tags.clone(),
                changed_at: tx.now(),
            };
            let shown = show(&key.0, &provider, true);
            tx.put(&tables.providers, key.clone(), provider);
            Ok(shown)
        });
        let capacity_provider = Some(made.await?.value);
        Ok(shapes::CreateCapacityProviderResponse { capacity_provider })
    }

    /// Changes how a provider's group is scaled; what is not given stays.
    pub(crate) async fn update_capacity_provider(
        &self,
        context: Context,
        input: shapes::UpdateCapacityProviderRequest,
    ) -> Result<shapes::UpdateCapacityProviderResponse, Error> {
        if input.managed_instances_provider.is_some() {
            return Err(Error::not_built("UpdateCapacityProvider", "managedInstancesProvider"));
        }
        refuse_cluster(input.cluster.as_deref())?;
        let key = existing(&target::scope(&context), &input.name)?;
        let update = input
            .auto_scaling_group_provider
            .ok_or_else(|| Error::invalid("The autoScalingGroupProvider must be specified."))?;
        let tables = self.tables;
        let updated = self.ledger.transact("update capacity provider", |tx| {
            let row = find(tx, &tables, &key)?;
            let changed = Group::of(&row).update(update.clone())?.into_provider(&row);
            // On ECS the group's scaling plan follows: the answer says that it goes on.
            let mut shown = show(&key.0, &changed, true);
            shown.update_status = Some(shapes::CapacityProviderUpdateStatus::UpdateInProgress);
            tx.put(&tables.providers, key.clone(), changed);
            Ok::<_, Error>(shown)
        });
        let capacity_provider = Some(updated.await?.value);
        Ok(shapes::UpdateCapacityProviderResponse { capacity_provider })
    }

    /// Deletes a provider that no cluster has. If one has it, that is no error: the answer's
    /// `updateStatus` says so (observed on ECS).
    pub(crate) async fn delete_capacity_provider(
        &self,
        context: Context,
        input: shapes::DeleteCapacityProviderRequest,
    ) -> Result<shapes::DeleteCapacityProviderResponse, Error> {
        refuse_cluster(input.cluster.as_deref())?;
        let key = existing(&target::scope(&context), &input.capacity_provider)?;
        let tables = self.tables;
        let deleted = self.ledger.transact("delete capacity provider", |tx| {
            let row = find(tx, &tables, &key)?;
            let cluster = tx.index(&tables.clusters_by_provider, &key).next();
            let changed = match cluster {
                Some((cluster, _)) => CapacityProvider {
                    update: Some(ProviderUpdate::DeleteFailed {
                        reason: in_cluster(&cluster.name),
                    }),
                    ..CapacityProvider::clone(&row)
                },
                None => CapacityProvider {
                    status: ProviderStatus::Inactive,
                    update: Some(ProviderUpdate::Deleted),
                    changed_at: tx.now(),
                    ..CapacityProvider::clone(&row)
                },
            };
            let mut shown = show(&key.0, &changed, true);
            if changed.status == ProviderStatus::Inactive {
                // On ECS it takes a while, and clients wait for it: the answer says that it began.
                shown.status = Some(shapes::CapacityProviderStatus::Active);
                shown.update_status = Some(shapes::CapacityProviderUpdateStatus::DeleteInProgress);
            }
            tx.put(&tables.providers, key.clone(), changed);
            Ok::<_, Error>(shown)
        });
        let capacity_provider = Some(deleted.await?.value);
        Ok(shapes::DeleteCapacityProviderResponse { capacity_provider })
    }
}

/// The name of a provider that is to be made.
fn new_name(text: &str) -> Result<CapacityProviderName, Error> {
    let starts = |prefix: &str| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let name = text.parse().ok().filter(|_| !RESERVED.into_iter().any(starts));
    // Observed on ECS.
    name.ok_or_else(|| {
        Error::invalid(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed, \
             including letters (upper and lowercase), numbers, underscores, and hyphens. The name \
             cannot be prefixed with \"aws\", \"ecs\", or \"fargate\". Specify a valid name and try \
             again.",
        )
    })
}

/// The name that a name or ARN means, if it is here.
fn name_of(scope: &Scope, text: &str) -> Option<CapacityProviderName> {
    if !text.starts_with("arn:") {
        return text.parse().ok();
    }
    let arn: CapacityProviderArn = text.parse().ok()?;
    (arn.account == scope.account && arn.region == scope.region).then_some(arn.name)
}

/// The key of a provider that is to be changed: Fargate's are not.
fn existing(scope: &Scope, text: &str) -> Result<ProviderKey, Error> {
    let name = name_of(scope, text).ok_or_else(does_not_exist)?;
    if is_fargate(&name) {
        return Err(Error::client(
            "The FARGATE and FARGATE_SPOT capacity providers are reserved and cannot be updated \
             or deleted.",
        ));
    }
    Ok((scope.clone(), name))
}

/// The provider with this key that was not deleted.
fn find(
    view: &impl View,
    tables: &Tables,
    key: &ProviderKey,
) -> Result<Row<CapacityProvider>, Error> {
    let row = view.get(&tables.providers, key);
    row.filter(|row| row.status == ProviderStatus::Active).ok_or_else(does_not_exist)
}

fn is_active(row: Row<CapacityProvider>) -> bool {
    row.status == ProviderStatus::Active
}

/// Providers over Auto Scaling groups are the account's, not a cluster's.
fn refuse_cluster(cluster: Option<&str>) -> Result<(), Error> {
    match cluster {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::invalid(
            "The cluster parameter is only supported for Amazon ECS Managed Instances capacity \
             providers.",
        )),
    }
}

/// Counted on a snapshot: a count inside the transaction would make any two providers made at once
/// a conflict.
fn is_full(snapshot: &Snapshot, tables: &Tables, scope: &Scope) -> bool {
    let active = || {
        let rows = snapshot.prefix(&tables.providers, scope);
        rows.filter(|(_, row)| row.status == ProviderStatus::Active).count()
    };
    snapshot.len(&tables.providers) >= MAX_PROVIDERS && active() >= MAX_PROVIDERS
}

/// Observed on ECS (`updateStatusReason`).
fn in_cluster(name: &terms::ClusterName) -> String {
    format!(
        "The capacity provider cannot be deleted because it is associated with cluster: {name}. \
         Remove the capacity provider from the cluster and try again."
    )
}

/// Observed on ECS.
fn does_not_exist() -> Error {
    Error::client(
        "The specified capacity provider does not exist. Specify a valid name or ARN and try again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_those_of_ecs_itself() {
        let check = |text: &str, good: bool| assert_eq!(new_name(text).is_ok(), good, "{text}");
        check("mine", true);
        check("my-ecs_1", true);
        check(&"a".repeat(255), true);
        check(&"a".repeat(256), false);
        check("", false);
        check("a b", false);
        for reserved in ["aws", "ecs", "fargate", "FARGATE", "EcsCp", "AWSmine", "fargate-2"] {
            check(reserved, false);
        }
    }
}
