//! Capacity providers of a cluster, and its default strategy (ECS semantics §12.1).

use std::collections::BTreeSet;

use ledger::View;
use shapes_ecs as shapes;
use terms::CapacityProviderName;

use super::super::strategy;
use crate::error::Error;
use crate::model::{Cluster, ProviderStatus, StrategyItem, is_fargate};
use crate::tables::{ClusterKey, Tables};

/// Most capacity providers of a cluster (ECS semantics §24).
const MAX_PROVIDERS: usize = 20;

/// What a request wants a cluster to have.
pub(super) struct Association {
    /// The providers, in the order given.
    pub(super) providers: Vec<CapacityProviderName>,
    /// The default strategy over them.
    pub(super) strategy: Vec<StrategyItem>,
}

impl Association {
    /// Reads it, and checks what does not depend on other rows.
    ///
    /// # Errors
    /// In the order of ECS, as far as it is known: the providers first, then the strategy.
    pub(super) fn read(
        names: Vec<String>,
        items: Vec<shapes::CapacityProviderStrategyItem>,
    ) -> Result<Self, Error> {
        if names.len() > MAX_PROVIDERS {
            // Observed on ECS.
            return Err(Error::invalid(
                "The maximum number of capacity providers per cluster has been exceeded.",
            ));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Error::invalid(format!(
                "The capacity provider '{twice}' is specified more than once."
            )));
        }
        // What is no name cannot be that of a provider: short names only, not even ARNs.
        let providers = names.into_iter().map(|name| name.parse().map_err(|_| unknown()));
        let providers: Vec<_> = providers.collect::<Result<_, _>>()?;
        let strategy = strategy::read(items)?;
        strategy::check(&strategy, &providers)?;
        Ok(Self { providers, strategy })
    }

    /// Checks that each provider is there, and is no other cluster's.
    pub(super) fn check(
        &self,
        view: &impl View,
        tables: &Tables,
        cluster: &ClusterKey,
    ) -> Result<(), Error> {
        for name in self.providers.iter().filter(|name| !is_fargate(name)) {
            let key = (cluster.scope.clone(), name.clone());
            let row = view.get(&tables.providers, &key).ok_or_else(unknown)?;
            if row.status != ProviderStatus::Active {
                // Observed on ECS.
                return Err(Error::invalid(format!(
                    "The specified capacity provider '{name}' is not in an ACTIVE state. Specify \
                     a valid capacity provider and try again."
                )));
            }
            let mut clusters = view.index(&tables.clusters_by_provider, &key);
            if clusters.any(|(other, _)| other != *cluster) {
                return Err(Error::invalid(format!(
                    "The specified capacity provider '{name}' is already associated with another \
                     cluster. Specify a different capacity provider and try again."
                )));
            }
        }
        Ok(())
    }

    /// Whether a cluster that exists has what a request to make it says; saying nothing agrees
    /// with everything.
    pub(super) fn agrees_with(&self, row: &Cluster) -> Result<(), Error> {
        let providers = |list: &[CapacityProviderName]| list.iter().cloned().collect();
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) =
            (providers(&self.providers), providers(&row.capacity_providers));
        let same = (self.providers.is_empty() || ours == theirs)
            && (self.strategy.is_empty() || self.strategy == row.default_strategy);
        // Observed on ECS.
        let text = "Arguments on this idempotent request are inconsistent with arguments used in \
                    previous request(s).";
        same.then_some(()).ok_or_else(|| Error::invalid(text))
    }
}

/// Whether tasks that have not stopped were placed by a provider of the cluster, or those of a
/// service would be.
pub(super) fn is_in_use(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    name: &CapacityProviderName,
) -> bool {
    let key = (cluster.clone(), name.clone());
    view.index(&tables.tasks_by_provider, &key).next().is_some()
        || view.index(&tables.services.by_provider, &key).next().is_some()
}

fn unknown() -> Error {
    // Observed on ECS.
    Error::invalid(
        "The specified capacity provider was not found. Specify a valid capacity provider and try \
         again.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::TaskStatus;
    use crate::model::sample::task;
    use crate::tables::{sample, task_key};

    #[tokio::test]
    async fn a_provider_is_in_use_while_a_task_of_it_has_not_stopped() {
        let (ledger, tables) = sample::ledger();
        let (ours, other): (CapacityProviderName, CapacityProviderName) =
            ("ours".parse().unwrap(), "other".parse().unwrap());
        for (status, expected) in [(TaskStatus::Running, true), (TaskStatus::Stopped, false)] {
            let mut row = task(1);
            (row.status, row.capacity_provider) = (status, Some(ours.clone()));
            let key = task_key(&row.arn);
            let put = ledger.transact("put", |tx| {
                tx.put(&tables.tasks, key.clone(), row.clone());
                Ok::<_, Error>(())
            });
            put.await.unwrap();
            let snapshot = ledger.snapshot();
            assert_eq!(is_in_use(&snapshot, &tables, &key.0, &ours), expected);
            assert!(!is_in_use(&snapshot, &tables, &key.0, &other));
        }
    }
}
