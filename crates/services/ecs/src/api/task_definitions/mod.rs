//! Task definitions: register, describe, list, deregister (ECS semantics §3).

mod check;
mod containers;
mod depends;
mod document;
mod health;
mod list;
mod ports;
mod requires;
mod sizes;
mod volumes;

pub(crate) use containers::MIN_MEMORY_MIB;
pub(crate) use sizes::{cpu as parse_cpu, memory as parse_memory};

use ledger::Tx;
use shapes_ecs as shapes;
use wire::Context;
use wire::value::Enumeration;

use self::document::Registration;
use super::{Api, tags, target};
use crate::error::Error;
use crate::model::{DefinitionStatus, Document, FamilyCounter, TaskDefinition};
use crate::tables::{DefinitionKey, Scope, Tables, definition_key};

/// Largest definition, in bytes of JSON (ECS semantics §3.2).
const MAX_DEFINITION_BYTES: usize = 65_536;
/// Most revisions of a family (ECS semantics §24).
const MAX_REVISIONS: u32 = 1_000_000;

impl Api {
    /// Registers the next revision of a family.
    pub(crate) async fn register_task_definition(
        &self,
        context: Context,
        mut input: shapes::RegisterTaskDefinitionRequest,
    ) -> Result<shapes::RegisterTaskDefinitionResponse, Error> {
        let checked = check::check(&input)?;
        let tags = tags::read(input.tags.take())?;
        let bytes = super::json_length(&input);
        if bytes > MAX_DEFINITION_BYTES {
            return Err(Error::client(format!(
                "Actual length: '{bytes}'. Max allowed length is '{MAX_DEFINITION_BYTES}' bytes."
            )));
        }
        let scope = target::scope(&context);
        let requires = requires::attributes(&input, checked.network_mode);
        let tables = self.tables;
        let registered = self.ledger.transact("register task definition", |tx| {
            let family = (scope.clone(), checked.family.clone());
            let counter = tx.get(&tables.families, &family).map(|row| FamilyCounter::clone(&row));
            let mut counter = counter.unwrap_or_default();
            if counter.last_revision >= MAX_REVISIONS {
                return Err(Error::client(format!(
                    "The family has {MAX_REVISIONS} revisions, which is the most there can be."
                )));
            }
            counter.last_revision += 1;
            counter.latest_active = Some(counter.last_revision);
            counter.active += 1;
            let arn = scope.definition_arn(checked.family.clone(), counter.last_revision);
            let (at, by) = (tx.now(), context.caller.arn.as_str());
            let registration = Registration { arn: &arn, at, by, requires: &requires };
            let shape = document::document(&input, &checked, &registration);
            let definition = TaskDefinition {
                status: DefinitionStatus::Active,
                registered_at: at,
                registered_by: by.to_owned(),
                deregistered_at: None,
                document: Document::new(shape),
                network_mode: checked.network_mode,
                cpu: checked.cpu,
                memory: checked.memory,
                containers: checked.containers.clone(),
                requires: requires.clone(),
                tags: tags.clone(),
                arn,
            };
            let shown = show(&definition);
            tx.put(&tables.definitions, definition_key(&definition.arn), definition);
            tx.put(&tables.families, family, counter);
            Ok(shown)
        });
        let tags = (!tags.is_empty()).then(|| tags::show(&tags));
        let task_definition = Some(registered.await?.value);
        Ok(shapes::RegisterTaskDefinitionResponse { task_definition, tags })
    }

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
            if row.status != DefinitionStatus::Active {
                return Ok(show(&row));
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

/// Takes a revision that is no longer ACTIVE out of its family's counter.
fn count_out(tx: &mut Tx<'_>, tables: &Tables, key: &DefinitionKey) {
    let (scope, family, revision) = key;
    let family_key = (scope.clone(), family.clone());
    let Some(counter) = tx.get(&tables.families, &family_key) else { return };
    let mut counter = FamilyCounter::clone(&counter);
    counter.active = counter.active.saturating_sub(1);
    counter.inactive += 1;
    if counter.latest_active == Some(*revision) {
        let active = (scope.clone(), DefinitionStatus::Active, family.clone());
        let older = tx.index(&tables.definitions_by_status, &active);
        counter.latest_active = older.map(|((_, _, revision), _)| revision).max();
    }
    tx.put(&tables.families, family_key, counter);
}

/// A definition as it is now: the document, with what has changed since it was registered.
pub(crate) fn show(row: &TaskDefinition) -> shapes::TaskDefinition {
    shapes::TaskDefinition {
        status: shapes::TaskDefinitionStatus::parse(row.status.as_str()),
        deregistered_at: row.deregistered_at,
        ..shapes::TaskDefinition::clone(&row.document)
    }
}
