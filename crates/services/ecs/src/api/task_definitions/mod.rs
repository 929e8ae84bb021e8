//! Task definitions: register, describe, list, deregister, delete (ECS semantics §3).

mod document;
mod lifecycle;
mod list;
mod register;
mod requires;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use rules::{MIN_MEMORY_MIB, check_fargate_size, check_role, parse_cpu, parse_memory};

use shapes_ecs as shapes;
use wire::value::Enumeration;

use crate::model::TaskDefinition;

/// A definition as it is now: the document, with what has changed since it was registered.
pub(crate) fn show(row: &TaskDefinition) -> shapes::TaskDefinition {
    shapes::TaskDefinition {
        status: shapes::TaskDefinitionStatus::parse(row.status.as_str()),
        deregistered_at: row.deregistered_at,
        delete_requested_at: row.delete_requested_at,
        ..shapes::TaskDefinition::clone(&row.document)
    }
}

/// Whether an image is in ECR: `<account>.dkr.ecr.<region>.amazonaws.com/…`.
fn is_ecr(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or("");
    host.contains(".dkr.ecr.") && host.contains(".amazonaws.com")
}
