//! Lists of task definitions and of families.

use std::ops::Bound;

use shapes_ecs as shapes;
use terms::{Family, TaskDefinitionArn};
use wire::Context;

use super::super::{Api, page::Page, target};
use crate::error::Error;
use crate::model::{DefinitionStatus, FamilyListing};

/// The first character in the order of those that names have, and the last.
const FIRST: &str = "-";
const LAST: &str = "z";
/// Longest name, in characters.
const NAME_CHARS: usize = 255;

impl Api {
    /// Lists the ARNs of task definitions, by family and revision. `familyPrefix` is a whole
    /// family here (ECS semantics §3.1).
    pub(crate) async fn list_task_definitions(
        &self,
        context: Context,
        input: shapes::ListTaskDefinitionsRequest,
    ) -> Result<shapes::ListTaskDefinitionsResponse, Error> {
        let scope = target::scope(&context);
        let status = match input.status.map_or("ACTIVE", |status| status.as_str()) {
            "INACTIVE" => DefinitionStatus::Inactive,
            "DELETE_IN_PROGRESS" => DefinitionStatus::DeleteInProgress,
            _ => DefinitionStatus::Active,
        };
        let descending = input.sort.is_some_and(|sort| sort.as_str() == "DESC");
        let family = input.family_prefix.as_deref().filter(|family| !family.is_empty());
        let filters = (family, status, descending);
        let token = input.next_token.as_deref();
        let page = Page::open("ListTaskDefinitions", &filters, input.max_results, token)?;
        let Some((first, last)) = families(family, family) else {
            return Ok(shapes::ListTaskDefinitionsResponse {
                task_definition_arns: Some(Vec::new()),
                next_token: None,
            });
        };
        let key = |family, revision| (scope.clone(), status, family, revision);
        let mut from = Bound::Included(key(first, 0));
        let mut to = Bound::Included(key(last, u32::MAX));
        if let Some(after) = page.after_as::<TaskDefinitionArn>()? {
            let after = Bound::Excluded(key(after.family, after.revision));
            *if descending { &mut to } else { &mut from } = after;
        }
        let snapshot = self.ledger.snapshot();
        let rows = snapshot.index_range(&self.tables.definitions_by_status, (from, to));
        let name = |arn: &TaskDefinitionArn| arn.to_string();
        let (arns, next_token) = if descending {
            page.take(rows.rev().map(|(_, row)| row.arn.clone()), name)
        } else {
            page.take(rows.map(|(_, row)| row.arn.clone()), name)
        };
        Ok(shapes::ListTaskDefinitionsResponse {
            task_definition_arns: Some(arns.iter().map(name).collect()),
            next_token,
        })
    }

    /// Lists families, by name. `familyPrefix` is the beginning of a family here.
    pub(crate) async fn list_task_definition_families(
        &self,
        context: Context,
        input: shapes::ListTaskDefinitionFamiliesRequest,
    ) -> Result<shapes::ListTaskDefinitionFamiliesResponse, Error> {
        let scope = target::scope(&context);
        let listing = match input.status.map_or("ALL", |status| status.as_str()) {
            "ACTIVE" => FamilyListing::Active,
            "INACTIVE" => FamilyListing::Inactive,
            _ => FamilyListing::All,
        };
        let prefix = input.family_prefix.as_deref().filter(|prefix| !prefix.is_empty());
        let filters = (prefix, listing);
        let token = input.next_token.as_deref();
        let page = Page::open("ListTaskDefinitionFamilies", &filters, input.max_results, token)?;
        let last = prefix.map(largest);
        let Some((first, last)) = families(prefix, last.as_deref()) else {
            return Ok(shapes::ListTaskDefinitionFamiliesResponse {
                families: Some(Vec::new()),
                next_token: None,
            });
        };
        let key = |family| (scope.clone(), listing, family);
        let from = match page.after_as::<Family>()? {
            Some(after) => Bound::Excluded(key(after)),
            None => Bound::Included(key(first)),
        };
        let snapshot = self.ledger.snapshot();
        let to = Bound::Included(key(last));
        let rows = snapshot.index_range(&self.tables.families_by_listing, (from, to));
        let names = rows.map(|(key, _)| key.1.to_string());
        let (families, next_token) = page.take(names, String::clone);
        Ok(shapes::ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
    }
}

/// The families between two names; nothing means all. `None` if nothing can be called so.
fn families(first: Option<&str>, last: Option<&str>) -> Option<(Family, Family)> {
    let first = first.unwrap_or(FIRST).parse().ok()?;
    let last = last.map_or_else(|| largest(""), str::to_owned).parse().ok()?;
    Some((first, last))
}

/// The last name that begins with `prefix`.
pub(crate) fn largest(prefix: &str) -> String {
    format!("{prefix}{}", LAST.repeat(NAME_CHARS.saturating_sub(prefix.len())))
}
