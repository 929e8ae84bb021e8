//! Conditions: operators, set operators, absent keys.

mod operator;
mod value;

pub(crate) use operator::Operator;
use operator::{Base, SetOperator};
use value::Wanted;

use crate::{Context, Values};

/// Keys that say who or where a caller is, in lower case.
const OF_CALLERS: [&str; 10] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "aws:username",
];

/// One key under one operator, with the values that it is compared to.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    operator: Operator,
    /// In lower case.
    pub(crate) key: String,
    wanted: Wanted,
}

impl Condition {
    /// Compiles one; `variables` tells whether `${…}` is one.
    pub(crate) fn new(operator: Operator, key: &str, values: &[String], variables: bool) -> Self {
        let wanted = Wanted::new(operator.base, values, variables);
        Self { operator, key: key.to_ascii_lowercase(), wanted }
    }

    /// Whether the request is so.
    pub(crate) fn holds(&self, context: &Context) -> bool {
        let values = context.get(&self.key).filter(|values| !is_nothing(values));
        if let Wanted::Null { absent, present } = self.wanted {
            return if values.is_some() { present } else { absent };
        }
        let Some(values) = values else { return self.holds_without() };
        let meets = |value: &String| self.wanted.matches(value, context) != self.operator.negated;
        match (values, self.operator.set) {
            // A list needs a set operator.
            (Values::List(_), None) => false,
            (Values::One(value), None) => meets(value),
            (Values::Either(values), None) => {
                let is_one = values.iter().any(|value| self.wanted.matches(value, context));
                is_one != self.operator.negated
            }
            (Values::One(value), Some(SetOperator::All)) => value.is_empty() || meets(value),
            (Values::One(value), Some(SetOperator::Any)) => meets(value),
            (Values::List(values) | Values::Either(values), Some(SetOperator::All)) => {
                values.iter().all(meets)
            }
            (Values::List(values) | Values::Either(values), Some(SetOperator::Any)) => {
                values.iter().any(meets)
            }
        }
    }

    fn holds_without(&self) -> bool {
        match self.operator.set {
            _ if self.operator.if_exists => true,
            Some(SetOperator::All) => true,
            Some(SetOperator::Any) => false,
            None => self.operator.negated,
        }
    }

    /// Whether it holds for few callers alone: it compares a key that says who or where one is with
    /// given values, and does not hold without the key.
    pub(crate) fn narrows(&self) -> bool {
        let compares = matches!(
            self.operator.base,
            Base::Text | Base::TextIgnoreCase | Base::Like | Base::Arn | Base::Address
        );
        let is_strict = !self.operator.negated
            && !self.operator.if_exists
            && self.operator.set != Some(SetOperator::All);
        compares
            && is_strict
            && OF_CALLERS.contains(&self.key.as_str())
            && !self.wanted.is_anybodys(self.key.ends_with("arn"))
    }

    /// The keys that it asks for: its own, and those of its variables.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.key.as_str()).chain(self.wanted.keys())
    }
}

/// An empty list is as good as absent.
fn is_nothing(values: &Values) -> bool {
    match values {
        Values::One(_) => false,
        Values::List(values) | Values::Either(values) => values.is_empty(),
    }
}

/// Whether these values make sense for the operator; dates and numbers that are none do not.
pub(crate) fn are_values(operator: Operator, values: &[String]) -> bool {
    let has_variable = |value: &String| value.contains("${");
    values.iter().all(|value| match operator.base {
        Base::Number(_) => value::number(value).is_some(),
        Base::Date(_) => crate::date::parse(value).is_some(),
        Base::Address => value::Range::parse(value).is_some(),
        Base::Boolean => has_variable(value) || value::boolean(value).is_some(),
        Base::Null => value::boolean(value).is_some(),
        Base::Text | Base::TextIgnoreCase | Base::Like | Base::Bytes | Base::Arn => true,
    })
}
