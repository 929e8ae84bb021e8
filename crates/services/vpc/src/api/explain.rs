//! Broken constraints of the model in EC2's words (observed).

use wire::{ServiceError, Violation};

/// What EC2 answers: the first thing that is wrong.
pub(super) fn explain(_: &'static str, violations: &[Violation]) -> ServiceError {
    let Some(first) = violations.first() else { return ServiceError::internal() };
    let parameter = parameter(&first.path);
    if first.is_missing() {
        let text = format!("The request must contain the parameter {parameter}");
        return ServiceError::new("MissingParameter", 400, text);
    }
    let value = first.value.trim_matches('\'');
    let bound = first.constraint.rsplit(' ').next().unwrap_or_default();
    let text = if first.constraint.contains("greater than or equal to") {
        // EC2 says so although the bound itself is allowed.
        format!(
            "Value ( {value} ) for parameter {parameter} is invalid. Expecting a value greater than {bound}."
        )
    } else if first.constraint.contains("less than or equal to") {
        format!(
            "Value ( {value} ) for parameter {parameter} is invalid. Expecting a value less than or equal to {bound}."
        )
    } else {
        format!("Value ({value}) for parameter {parameter} is invalid.")
    };
    ServiceError::new("InvalidParameterValue", 400, text)
}

/// `MaxResults` → `maxResults`, `Filters.1.member.Name` → `filters.1.name`.
fn parameter(path: &str) -> String {
    let small = |part: &str| {
        let mut characters = part.chars();
        let first = characters.next().map(|c| c.to_ascii_lowercase());
        first.into_iter().chain(characters).collect::<String>()
    };
    let parts = path.split('.').filter(|part| *part != "member").map(small);
    parts.collect::<Vec<_>>().join(".")
}
