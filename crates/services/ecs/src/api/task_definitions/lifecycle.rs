//! DescribeTaskDefinition, DeregisterTaskDefinition and DeleteTaskDefinitions (ECS semantics
//! §3.1). What is deleted is forgotten by `reconcile/definitions.rs`.

use ledger::Tx;
use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, tags, target};
use super::show;
use crate::error::Error;
use crate::model::{DefinitionStatus, FamilyCounter, TaskDefinition};
use crate::tables::{DefinitionKey, Scope, Tables};

/// Most definitions that one request deletes (ECS semantics §1.1).
const MAX_DELETED: usize = 10;

impl Api {
    /// Describes a revision, or a family's newest ACTIVE one.
    pub(crate) async fn describe_task_definition(
        &self,
        context: Context,
        input: shapes::DescribeTaskDefinitionRequest,
    ) -> Result<shapes::DescribeTaskDefinitionResponse, Error> {
        let scope = target::scope(&context);
        let snapshot = self.ledger.snapshot();
        let name = target::definition_name(&scope, &input.task_definition);
        let row = name.and_then(|name| target::definition(&snapshot, &self.tables, &scope, &name));
        let row = row.ok_or_else(|| Error::client("Unable to describe task definition."))?;
        let wants_tags = input.include.iter().flatten().any(|one| one.as_str() == "TAGS");
        let tags = if wants_tags { tags::show(&row.tags) } else { Vec::new() };
        Ok(shapes::DescribeTaskDefinitionResponse {
            task_definition: Some(show(&row)),
            tags: Some(tags),
        })
    }

    /// Makes a revision INACTIVE. One that is so already stays as it is.
    pub(crate) async fn deregister_task_definition(
        &self,
        context: Context,
        input: shapes::DeregisterTaskDefinitionRequest,
    ) -> Result<shapes::DeregisterTaskDefinitionResponse, Error> {
        let scope = target::scope(&context);
        let key = one_revision(&scope, &input.task_definition)?;
        let tables = self.tables;
        let done = self.ledger.transact("deregister task definition", |tx| {
            let row = tx.get(&tables.definitions, &key);
            let row =
                row.ok_or_else(|| Error::client("The specified task definition does not exist."))?;
            match row.status {
                DefinitionStatus::Active => {}
                DefinitionStatus::Inactive => return Ok(show(&row)),
                DefinitionStatus::DeleteInProgress => {
                    return Err(Error::client(
                        "The task definition could not be deregistered because it is in the \
                         process of being deleted.",
                    ));
                }
            }
            let inactive = TaskDefinition {
                status: DefinitionStatus::Inactive,
                deregistered_at: Some(tx.now()),
                ..TaskDefinition::clone(&row)
            };
            let shown = show(&inactive);
            tx.put(&tables.definitions, key.clone(), inactive);
            count_out(tx, &tables, &key);
            Ok::<_, Error>(shown)
        });
        let task_definition = Some(done.await?.value);
        Ok(shapes::DeregisterTaskDefinitionResponse { task_definition })
    }

    /// Marks INACTIVE revisions as to be deleted, each for itself.
    pub(crate) async fn delete_task_definitions(
        &self,
        context: Context,
        input: shapes::DeleteTaskDefinitionsRequest,
    ) -> Result<shapes::DeleteTaskDefinitionsResponse, Error> {
        let names = input.task_definitions;
        if names.is_empty() {
            return Err(Error::invalid("Task definitions cannot be empty."));
        }
        if names.len() > MAX_DELETED {
            return Err(Error::invalid(format!(
                "The maximum number of task definitions that can be deleted at once is \
                 {MAX_DELETED}."
            )));
        }
        let scope = target::scope(&context);
        let tables = self.tables;
        let done = self.ledger.transact("delete task definitions", |tx| {
            let (mut deleted, mut failures) = (Vec::new(), Vec::new());
            for name in &names {
                match delete(tx, &tables, &scope, name) {
                    Ok(row) => deleted.push(show(&row)),
                    Err(reason) => failures.push(shapes::Failure {
                        arn: Some(name.clone()),
                        reason: Some(reason.to_owned()),
                        detail: None,
                    }),
                }
            }
            Ok::<_, Error>(shapes::DeleteTaskDefinitionsResponse {
                task_definitions: Some(deleted),
                failures: Some(failures),
            })
        });
        Ok(done.await?.value)
    }
}

/// Marks one revision; gives the reason if it cannot be (observed texts, all three).
fn delete(
    tx: &mut Tx<'_>,
    tables: &Tables,
    scope: &Scope,
    name: &str,
) -> Result<TaskDefinition, &'static str> {
    let Some(target::DefinitionName::Revision(family, revision)) =
        target::definition_name(scope, name)
    else {
        return Err(
            "The specified task definition identifier is invalid. Specify a valid name or \
                    ARN and try again.",
        );
    };
    let key = (scope.clone(), family, revision);
    let Some(row) = tx.get(&tables.definitions, &key) else {
        return Err("The specified task definition does not exist. Specify a valid account, \
                    family, revision and try again.");
    };
    match row.status {
        DefinitionStatus::Active => Err("The specified task definition is still in ACTIVE \
                                         status. Please deregister the target and try again."),
        DefinitionStatus::DeleteInProgress => Ok(TaskDefinition::clone(&row)),
        DefinitionStatus::Inactive => {
            let deleted = TaskDefinition {
                status: DefinitionStatus::DeleteInProgress,
                delete_requested_at: Some(tx.now()),
                ..TaskDefinition::clone(&row)
            };
            tx.put(&tables.definitions, key.clone(), deleted.clone());
            count(tx, tables, &key, |counter| {
                counter.inactive = counter.inactive.saturating_sub(1);
                counter.deleting += 1;
            });
            Ok(deleted)
        }
    }
}

/// The revision that a request names; a family alone is not enough.
fn one_revision(scope: &Scope, text: &str) -> Result<DefinitionKey, Error> {
    match target::definition_name(scope, text) {
        Some(target::DefinitionName::Revision(family, revision)) => {
            Ok((scope.clone(), family, revision))
        }
        Some(target::DefinitionName::Family(_)) => Err(Error::client("Revision is missing.")),
        None => {
            let number = text.rsplit(':').next().unwrap_or("");
            let text = format!("Invalid revision number. Number: {number}");
            Err(Error::invalid(text))
        }
    }
}

/// Changes the counter of a revision's family.
fn count(
    tx: &mut Tx<'_>,
    tables: &Tables,
    (scope, family, _): &DefinitionKey,
    change: impl FnOnce(&mut FamilyCounter),
) {
    let key = (scope.clone(), family.clone());
    let Some(counter) = tx.get(&tables.families, &key) else { return };
    let mut counter = FamilyCounter::clone(&counter);
    change(&mut counter);
    tx.put(&tables.families, key, counter);
}

/// Takes a revision that is no longer ACTIVE out of its family's counter.
fn count_out(tx: &mut Tx<'_>, tables: &Tables, key: &DefinitionKey) {
    let (scope, family, revision) = key;
    // Read without a record: whatever changes a revision's status changes the counter as well,
    // and the counter is read with one.
    let active = (scope.clone(), DefinitionStatus::Active, family.clone());
    let active = tx.facts().index(&tables.definitions_by_status, &active);
    let others = active.rev().map(|((_, _, other), _)| other);
    let newest = others.into_iter().find(|other| other != revision);
    count(tx, tables, key, |counter| {
        counter.active = counter.active.saturating_sub(1);
        counter.inactive += 1;
        if counter.latest_active == Some(*revision) {
            counter.latest_active = newest;
        }
    });
}
