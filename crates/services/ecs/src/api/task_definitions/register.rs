//! RegisterTaskDefinition.

use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, json_length, tags, target};
use super::document::{self, Registration};
use super::rules::{self, Checked};
use super::{requires, show};
use crate::error::Error;
use crate::model::{DefinitionStatus, Document, FamilyCounter, Tag, TaskDefinition};
use crate::tables::definition_key;

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
        let checked = rules::check(&input)?;
        let tags = read_tags(input.tags.take())?;
        let bytes = json_length(&input);
        if bytes > MAX_DEFINITION_BYTES {
            return Err(Error::client(format!(
                "Actual length: '{bytes}'. Max allowed length is '{MAX_DEFINITION_BYTES}' bytes."
            )));
        }
        let scope = target::scope(&context);
        let requires = requires::attributes(&input, checked.network_mode, checked.cpu);
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
            let definition = record(&input, &checked, &registration, &tags);
            let shown = show(&definition);
            tx.put(&tables.definitions, definition_key(&arn), definition);
            tx.put(&tables.families, family, counter);
            Ok(shown)
        });
        let tags = (!tags.is_empty()).then(|| tags::show(&tags));
        let task_definition = Some(registered.await?.value);
        Ok(shapes::RegisterTaskDefinitionResponse { task_definition, tags })
    }
}

/// An empty list is refused here, and here alone (observed: Terraform's provider leaves it out).
fn read_tags(tags: Option<Vec<shapes::Tag>>) -> Result<Vec<Tag>, Error> {
    if tags.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::client("Tags can not be empty."));
    }
    tags::read(tags)
}

fn record(
    input: &shapes::RegisterTaskDefinitionRequest,
    checked: &Checked,
    registration: &Registration<'_>,
    tags: &[Tag],
) -> TaskDefinition {
    TaskDefinition {
        arn: registration.arn.clone(),
        status: DefinitionStatus::Active,
        registered_at: registration.at,
        registered_by: registration.by.to_owned(),
        deregistered_at: None,
        delete_requested_at: None,
        document: Document::new(document::document(input, checked, registration)),
        network_mode: checked.network_mode,
        cpu: checked.cpu,
        memory: checked.memory,
        containers: checked.containers.clone(),
        requires: registration.requires.to_vec(),
        tags: tags.to_vec(),
    }
}
