//! Placement strategies, as requests give them (ECS semantics §6.3). The texts were observed on
//! ECS, but the one for `spread`, which is made like its sister's.

use placement::{Binpack, Spread, Strategy};
use shapes_ecs as shapes;
use shapes_ecs::PlacementStrategyType as Type;

use crate::error::Error;
use crate::model::Document;

/// Most strategies of a request.
const MAX_STRATEGIES: usize = 5;

/// Reads the strategies of a request that runs tasks or makes a service.
///
/// # Errors
/// When there are too many, or one cannot be read.
pub(crate) fn read(given: &[shapes::PlacementStrategy]) -> Result<Vec<Strategy>, Error> {
    if given.len() > MAX_STRATEGIES {
        return Err(Error::invalid(format!("Maximum number of strategies is {MAX_STRATEGIES}")));
    }
    given.iter().map(read_one).collect()
}

/// Strategies as a record keeps them.
pub(crate) fn keep(
    given: Option<&[shapes::PlacementStrategy]>,
) -> Vec<Document<shapes::PlacementStrategy>> {
    given.unwrap_or_default().iter().cloned().map(Document::new).collect()
}

fn read_one(given: &shapes::PlacementStrategy) -> Result<Strategy, Error> {
    let field = given.field.as_deref().unwrap_or("");
    let wrong = |kind: &str| Err(Error::invalid(format!("{kind} field '{field}' is invalid")));
    match given.type_ {
        Some(Type::Random) if field.is_empty() => Ok(Strategy::Random),
        Some(Type::Random) => Err(Error::invalid("random field should not be specified")),
        Some(Type::Spread) => match field {
            "instanceId" | "host" => Ok(Strategy::Spread(Spread::Instance)),
            _ => match field.strip_prefix("attribute:").filter(|name| !name.is_empty()) {
                Some(name) => Ok(Strategy::Spread(Spread::Attribute(name.into()))),
                None => wrong("spread"),
            },
        },
        Some(Type::Binpack) => match field.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Strategy::Binpack(Binpack::Cpu)),
            "memory" => Ok(Strategy::Binpack(Binpack::Memory)),
            _ => wrong("binpack"),
        },
        None => Err(Error::invalid("A placement strategy needs a type.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_strategies() {
        let check = |type_, field: Option<&str>, good: bool| {
            let given = [shapes::PlacementStrategy { type_, field: field.map(str::to_owned) }];
            assert_eq!(read(&given).is_ok(), good, "{given:?}");
        };
        check(Some(Type::Random), None, true);
        check(Some(Type::Random), Some(""), true);
        check(Some(Type::Random), Some("cpu"), false);
        check(Some(Type::Spread), Some("instanceId"), true);
        check(Some(Type::Spread), Some("host"), true);
        check(Some(Type::Spread), Some("attribute:ecs.availability-zone"), true);
        check(Some(Type::Spread), Some("attribute:"), false);
        check(Some(Type::Spread), None, false);
        check(Some(Type::Binpack), Some("CPU"), true);
        check(Some(Type::Binpack), Some("memory"), true);
        check(Some(Type::Binpack), Some("disk"), false);
        check(None, Some("cpu"), false);
        let one = shapes::PlacementStrategy { type_: Some(Type::Random), field: None };
        assert!(read(&vec![one.clone(); 5]).is_ok());
        assert!(read(&vec![one; 6]).is_err());
    }
}
