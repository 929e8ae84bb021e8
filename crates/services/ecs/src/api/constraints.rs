//! Placement constraints, and the expressions in them (ECS semantics §6.2, §6.4).

use placement::Constraint;
use placement::query::Expression;
use shapes_ecs as shapes;

use crate::error::Error;
use crate::model::Document;

/// Reads the expression of a memberOf constraint. The error is a text for whatever type of error
/// the operation answers with.
pub(super) fn member_of(expression: Option<&str>) -> Result<Expression, String> {
    let text = expression.unwrap_or_default();
    if text.trim().is_empty() {
        return Err("memberOf expression should be specified.".into());
    }
    text.parse().map_err(|wrong| format!("Invalid memberOf expression: {wrong}."))
}

/// Reads the constraints of a request that runs tasks or makes a service.
///
/// # Errors
/// [`Error::InvalidParameter`]; that of distinctInstance word by word as ECS has it (observed:
/// `hashicorp/terraform` issue 11471).
pub(super) fn read(given: &[shapes::PlacementConstraint]) -> Result<Vec<Constraint>, Error> {
    given.iter().map(read_one).collect()
}

fn read_one(given: &shapes::PlacementConstraint) -> Result<Constraint, Error> {
    match given.type_.map(|kind| kind.as_str()) {
        Some("distinctInstance") if given.expression.is_none() => Ok(Constraint::DistinctInstance),
        Some("distinctInstance") => {
            Err(Error::invalid("distinctInstance expression should not be specified."))
        }
        // Out of the model's enumeration only `memberOf` is left.
        Some(_) => match member_of(given.expression.as_deref()) {
            Ok(expression) => Ok(Constraint::MemberOf(expression)),
            Err(text) => Err(Error::invalid(text)),
        },
        None => Err(Error::invalid("A placement constraint needs a type.")),
    }
}

/// Constraints as a record keeps them.
pub(super) fn keep(
    given: Option<&[shapes::PlacementConstraint]>,
) -> Vec<Document<shapes::PlacementConstraint>> {
    given.unwrap_or_default().iter().cloned().map(Document::new).collect()
}
