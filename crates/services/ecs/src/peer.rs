//! What the binary and higher services may ask of this one, without a request.

use std::net::IpAddr;

use ledger::Row;
use terms::{AccountId, ClusterName, Region, TaskArn};

use crate::Ecs;
use crate::api;
use crate::error::Error;
use crate::model::{Cluster, ClusterStatus, InstanceStatus, TaskDefinition, TaskStatus};
use crate::tables::{Scope, task_key};

impl Ecs {
    /// Makes the cluster if there is none of that name that is ACTIVE.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub async fn ensure_cluster(
        &self,
        account: &AccountId,
        region: &Region,
        name: &ClusterName,
    ) -> Result<(), ledger::LedgerError> {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let (key, tables) = (scope.cluster(name.clone()), self.api.tables);
        let made = self.api.ledger.transact("ensure cluster", |tx| {
            let known = tx.get(&tables.clusters, &key);
            if known.is_none_or(|row| row.status != ClusterStatus::Active) {
                let mut cluster = Cluster::new(key.name.clone(), tx.now());
                cluster.settings = api::usual_settings(tx, &tables, &key);
                tx.put(&tables.clusters, key.clone(), cluster);
            }
            Ok::<(), Error>(())
        });
        match made.await {
            Ok(_) | Err(ledger::TransactError::Rejected(_)) => Ok(()),
            Err(ledger::TransactError::Ledger(error)) => Err(error),
        }
    }

    /// Whether a cluster of this name was ever made.
    pub fn knows_cluster(&self, account: &AccountId, region: &Region, name: &ClusterName) -> bool {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let key = scope.cluster(name.clone());
        self.api.ledger.snapshot().get(&self.api.tables.clusters, &key).is_some()
    }

    /// Where the published ports are of the container instance of this account and region that runs
    /// on a machine of this id, as in `i-0123456789abcdef0`, and is not INACTIVE.
    pub fn address_of_machine(
        &self,
        account: &AccountId,
        region: &Region,
        machine: &str,
    ) -> Option<IpAddr> {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let snapshot = self.api.ledger.snapshot();
        let mut instances = snapshot.prefix(&self.api.tables.instances, &scope);
        let found = instances.find(|(_, row)| {
            row.ec2_instance_id.as_deref() == Some(machine)
                && row.status != InstanceStatus::Inactive
        });
        found.map(|(_, row)| row.published_at())
    }

    /// How many of a cluster's container instances are ACTIVE with a connected agent.
    pub fn connected_instances(
        &self,
        account: &AccountId,
        region: &Region,
        name: &ClusterName,
    ) -> usize {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let cluster = scope.cluster(name.clone());
        let snapshot = self.api.ledger.snapshot();
        let instances = snapshot.prefix(&self.api.tables.instances, &cluster);
        instances
            .into_iter()
            .filter(|(_, row)| row.status == InstanceStatus::Active && row.agent.connected)
            .count()
    }
}

impl Ecs {
    /// How a session of ECS Exec is opened again: the stream's URL and a new token; none if it is
    /// over. The token before opens it no more.
    ///
    /// # Errors
    /// In words, if the ledger cannot commit.
    pub async fn resume_exec(
        &self,
        (account, region): (&AccountId, &Region),
        session: &str,
        endpoint: &str,
    ) -> Result<Option<(String, String)>, String> {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let token = self.sessions.renew_token(&(scope, session.to_owned())).await;
        let token = token.map_err(|error| error.to_string())?;
        Ok(token.map(|token| (api::stream_url(endpoint, session), token)))
    }

    /// Ends a session of ECS Exec; one that is over is success.
    pub async fn terminate_exec(&self, (account, region): (&AccountId, &Region), session: &str) {
        let scope = Scope { account: account.clone(), region: region.clone() };
        self.sessions.terminate_session(&(scope, session.to_owned())).await;
    }
}

impl Ecs {
    /// The whole ARN of what an ARN means, where it says less: a task definition's without a revision is
    /// its newest one.
    pub fn whole_arn(&self, account: &AccountId, region: &Region, arn: &str) -> Option<String> {
        let (_, name) = arn.split_once(":task-definition/")?;
        Some(self.definition(account, region, name)?.arn.to_string())
    }

    /// The tags of what an ARN means.
    pub fn tags_of(
        &self,
        account: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Option<Vec<(String, String)>> {
        if let Some((_, name)) = arn.split_once(":task-definition/") {
            let row = self.definition(account, region, name)?;
            return Some(row.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect());
        }
        let scope = Scope { account: account.clone(), region: region.clone() };
        let snapshot = self.api.ledger.snapshot();
        let tags = api::tagging::known(&snapshot, &self.api.tables, &scope, arn)?;
        Some(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// The roles that a task definition names.
    pub fn roles_of_definition(
        &self,
        account: &AccountId,
        region: &Region,
        definition: &str,
    ) -> Vec<String> {
        let Some(row) = self.definition(account, region, definition) else { return Vec::new() };
        let document = &row.document;
        let roles = [document.task_role_arn.clone(), document.execution_role_arn.clone()];
        roles.into_iter().flatten().filter(|role| !role.is_empty()).collect()
    }

    /// The task definition of an ARN, a family, or a family with a revision.
    fn definition(
        &self,
        account: &AccountId,
        region: &Region,
        definition: &str,
    ) -> Option<Row<TaskDefinition>> {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let name = api::target::definition_name(&scope, definition)?;
        api::target::definition(&self.api.ledger.snapshot(), &self.api.tables, &scope, &name)
    }
}

/// So that a task's credentials end with it.
impl iam::TaskLife for Ecs {
    fn is_over(&self, task: &TaskArn) -> bool {
        let row = self.api.ledger.snapshot().get(&self.api.tables.tasks, &task_key(task));
        row.is_none_or(|row| row.status == TaskStatus::Stopped)
    }
}
