//! What stands between a subject and its argument.

use super::node::Relation;
use super::scan::Scanner;

/// An operator, in whichever spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Related(Relation),
    Exists { negated: bool },
    In { negated: bool },
    Matches { negated: bool },
}

/// What a subject can be asked (Developer Guide: "Valid operators" of each).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything.
    Anything,
    /// `==`, `!=`, `in`, `!in`, `=~`, `!~`.
    Text,
    /// `==`, `!=`, `<`, `<=`, `>`, `>=`.
    Order,
}

impl Asked {
    pub(super) fn allows(self, operator: Operator) -> bool {
        match operator {
            Operator::Related(Relation::Equal | Relation::NotEqual) => true,
            Operator::Related(_) => self != Self::Text,
            Operator::In { .. } | Operator::Matches { .. } => self != Self::Order,
            Operator::Exists { .. } => self == Self::Anything,
        }
    }

    /// The operators that are allowed, for an error.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Anything => {
                "an operator (== equals, != not_equals, > greater_than, >= greater_than_equal, \
                 < less_than, <= less_than_equal, exists, !exists not_exists, in, !in not_in, \
                 =~ matches, !~ not_matches)"
            }
            Self::Text => {
                "an operator (== equals, != not_equals, in, !in not_in, =~ matches, \
                 !~ not_matches)"
            }
            Self::Order => {
                "an operator (== equals, != not_equals, > greater_than, >= greater_than_equal, \
                 < less_than, <= less_than_equal)"
            }
        }
    }
}

/// Takes the operator that is next, if one is.
pub(super) fn take(scan: &mut Scanner<'_>) -> Option<Operator> {
    let mut ahead = *scan;
    let operator = symbol(&mut ahead).or_else(|| word(ahead.word()))?;
    *scan = ahead;
    Some(operator)
}

fn symbol(scan: &mut Scanner<'_>) -> Option<Operator> {
    const SYMBOLS: [(&str, Operator); 8] = [
        ("==", Operator::Related(Relation::Equal)),
        ("!=", Operator::Related(Relation::NotEqual)),
        ("=~", Operator::Matches { negated: false }),
        ("!~", Operator::Matches { negated: true }),
        (">=", Operator::Related(Relation::GreaterEqual)),
        (">", Operator::Related(Relation::Greater)),
        ("<=", Operator::Related(Relation::LessEqual)),
        ("<", Operator::Related(Relation::Less)),
    ];
    if let Some((_, operator)) = SYMBOLS.into_iter().find(|(symbol, _)| scan.take(symbol)) {
        return Some(operator);
    }
    let mut ahead = *scan;
    let operator = match (ahead.take("!"), ahead.word()) {
        (true, "in") => Operator::In { negated: true },
        (true, "exists") => Operator::Exists { negated: true },
        _ => return None,
    };
    *scan = ahead;
    Some(operator)
}

fn word(word: &str) -> Option<Operator> {
    Some(match word {
        "equals" => Operator::Related(Relation::Equal),
        "not_equals" => Operator::Related(Relation::NotEqual),
        "greater_than" => Operator::Related(Relation::Greater),
        "greater_than_equal" => Operator::Related(Relation::GreaterEqual),
        "less_than" => Operator::Related(Relation::Less),
        "less_than_equal" => Operator::Related(Relation::LessEqual),
        "exists" => Operator::Exists { negated: false },
        "not_exists" => Operator::Exists { negated: true },
        "in" => Operator::In { negated: false },
        "not_in" => Operator::In { negated: true },
        "matches" => Operator::Matches { negated: false },
        "not_matches" => Operator::Matches { negated: true },
        _ => return None,
    })
}
