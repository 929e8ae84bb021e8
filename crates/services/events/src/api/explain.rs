//! Broken constraints of the model in EventBridge's words: members begin with small letters there
//! (recorded: `… at 'targets.1.member.id' …`).

use wire::{ServiceError, Violation, check};

/// All that is broken, in one text.
pub(super) fn explain(_: &'static str, violations: &[Violation]) -> ServiceError {
    let small = |path: &str| {
        let part = |part: &str| {
            let mut characters = part.chars();
            let first = characters.next().map(|c| c.to_ascii_lowercase());
            first.into_iter().chain(characters).collect::<String>()
        };
        path.split('.').map(part).collect::<Vec<_>>().join(".")
    };
    let violations: Vec<Violation> = violations
        .iter()
        .map(|violation| Violation { path: small(&violation.path), ..violation.clone() })
        .collect();
    ServiceError::new("ValidationException", 400, check::describe(&violations))
}
