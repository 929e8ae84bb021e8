//! Which attributes a container instance may have (ECS semantics §4; API reference, `Attribute`).

/// Most attributes of one instance that are neither the agent's nor the server's.
pub(crate) const MAX_CUSTOM_ATTRIBUTES: usize = 10;
/// Longest name and longest value, in characters.
const MAX_CHARS: usize = 128;

/// Names that begin so belong to ECS, its agents and Longshore: users cannot put or delete them.
const RESERVED: [&str; 3] = ["ecs.", "com.amazonaws.ecs.", "longshore."];

/// Reserved names that agents register and that say no capability (agent protocol §1.2, §1.6).
const FROM_AGENTS: [&str; 11] = [
    "ecs.ami-id",
    "ecs.availability-zone",
    "ecs.awsvpc-trunk-id",
    "ecs.cpu-architecture",
    "ecs.instance-type",
    "ecs.os-family",
    "ecs.os-type",
    "ecs.os-type-detailed",
    "ecs.outpost-arn",
    "ecs.subnet-id",
    "ecs.vpc-id",
];
/// What stands before others: capabilities, of which every newer agent has more, and what our own
/// agent says of itself.
const FROM_AGENTS_PREFIXES: [&str; 3] = ["ecs.capability.", "com.amazonaws.ecs.", "longshore."];

/// Why an attribute is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongAttribute {
    /// The name is not one.
    #[error(
        "Invalid attribute name '{0}': a name has 1 to 128 letters, numbers, hyphens, underscores, \
         periods, slashes or backslashes."
    )]
    Name(String),
    /// The value is not one.
    #[error(
        "Invalid value '{value}' of attribute '{name}': a value has 1 to 128 letters, numbers, \
         hyphens, underscores, periods, at signs, slashes, backslashes, colons or spaces, and does \
         not begin or end with a space."
    )]
    Value {
        /// The attribute.
        name: String,
        /// What it was to be.
        value: String,
    },
    /// The name is not the user's to use.
    #[error("The attribute name '{0}' begins with a reserved prefix.")]
    Reserved(String),
}

/// Whether a name belongs to ECS, its agents or Longshore.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|prefix| name.starts_with(prefix))
}

/// Checks an attribute of a user's.
///
/// # Errors
/// For each rule that it breaks.
pub(crate) fn check_custom(name: &str, value: Option<&str>) -> Result<(), WrongAttribute> {
    check_name(name)?;
    match value.filter(|value| !value.is_empty()) {
        Some(value) if !is_value(value) => {
            Err(WrongAttribute::Value { name: name.to_owned(), value: value.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks the name of an attribute of a user's.
///
/// # Errors
/// When it is none, or is reserved.
pub(crate) fn check_name(name: &str) -> Result<(), WrongAttribute> {
    if !is_name(name) {
        return Err(WrongAttribute::Name(name.to_owned()));
    }
    if is_reserved(name) {
        return Err(WrongAttribute::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Checks an attribute that an agent registers: a reserved name must be one that agents have.
/// What they say by it is theirs, for a refused agent ends for good (agent protocol §1.4).
///
/// # Errors
/// For each rule that it breaks.
pub(crate) fn check_registered(name: &str, value: Option<&str>) -> Result<(), WrongAttribute> {
    let is_agents = FROM_AGENTS.contains(&name)
        || FROM_AGENTS_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix) && name.len() > prefix.len());
    if is_agents { Ok(()) } else { check_custom(name, value) }
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_/\\.".contains(c);
    (1..=MAX_CHARS).contains(&text.chars().count()) && text.chars().all(good)
}

fn is_value(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.@/\\: ".contains(c);
    let ends = text.starts_with(' ') || text.ends_with(' ');
    (1..=MAX_CHARS).contains(&text.chars().count()) && text.chars().all(good) && !ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_of_users() {
        let long = "n".repeat(128);
        let too_long = "n".repeat(129);
        let check = |name: &str, value: Option<&str>, good: bool| {
            assert_eq!(check_custom(name, value).is_ok(), good, "{name} = {value:?}");
        };
        for name in ["stack", "a", "A-z_0/9\\.", &long, "ecs", "ecsx.a", "com.amazonaws"] {
            check(name, None, true);
        }
        for name in ["", "a b", "a:b", "ä", "a@b", "a=b", &too_long, "ecs.", "longshore.agent"] {
            check(name, None, false);
        }
        for value in ["x", "a b", "A-z_0.9@/\\:", &long, ""] {
            check("a", Some(value), true);
        }
        for value in [" x", "x ", " ", "a=b", "a,b", "ü", &too_long] {
            check("a", Some(value), false);
        }
    }

    #[test]
    fn reserved_names_are_the_agents() {
        let check = |name: &str, agents: bool| {
            assert_eq!(check_registered(name, None).is_ok(), agents, "{name}");
            assert!(matches!(check_custom(name, None), Err(WrongAttribute::Reserved(_))), "{name}");
        };
        check("ecs.instance-type", true);
        check("ecs.os-family", true);
        check("ecs.capability.task-eni", true);
        check("ecs.capability.whatever.comes.next", true);
        check("com.amazonaws.ecs.capability.docker-remote-api.1.44", true);
        check(agent_protocol::AGENT_ATTRIBUTE, true);
        check(agent_protocol::ADDRESS_ATTRIBUTE, true);
        check(agent_protocol::CAPACITY_PROVIDER_ATTRIBUTE, true);
        check("ecs.capability.", false);
        check("ecs.mine", false);
    }
}
