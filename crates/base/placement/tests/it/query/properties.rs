//! What holds for every text and every expression.

use placement::query::{Expression, QueryError};
use proptest::prelude::*;

use super::Facts;

/// An expression as a tree, written and evaluated without the crate's own code.
#[derive(Clone, Debug)]
enum Tree {
    /// `attribute:` with its name, the spelling of the operator, and the value.
    Attribute(char, &'static str, char),
    Group(char, bool),
    Running(u32),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

impl Tree {
    /// As text, with parentheses only where precedence needs them.
    fn write(&self, loose: &str) -> String {
        let inside = |tree: &Tree, plain: bool| match plain {
            true => tree.write(loose),
            false => format!("({loose}{})", tree.write(loose)),
        };
        match self {
            Self::Attribute(name, operator @ ("exists" | "!exists"), _) => {
                format!("attribute:{name} {operator}")
            }
            Self::Attribute(name, operator @ ("in" | "not_in"), value) => {
                format!("attribute:{name} {operator}{loose}[{value},{loose}'-']")
            }
            Self::Attribute(name, operator, value) => {
                format!("attribute:{name} {operator} {value}")
            }
            Self::Group(group, equal) => {
                format!("task:group{loose}{}{loose}'{group}'", if *equal { "==" } else { "!=" })
            }
            Self::Running(count) => format!("runningTasksCount{loose}>={loose}{count}"),
            Self::Not(tree) => {
                let plain = !matches!(**tree, Self::And(..) | Self::Or(..));
                format!("not {}", inside(tree, plain))
            }
            Self::And(left, right) => {
                let plain = |tree: &Tree| !matches!(tree, Self::Or(..));
                let (left, right) = (inside(left, plain(left)), inside(right, plain(right)));
                format!("{left}{loose} and {right}")
            }
            Self::Or(left, right) => {
                format!("{} or {loose}{}", left.write(loose), right.write(loose))
            }
        }
    }

    fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::Attribute(name, operator, value) => {
                let mut found = facts.attributes.iter().filter(|(has, _)| *has == name.to_string());
                let has = found.next().map(|(_, value)| value.clone().unwrap_or_default());
                let value = value.to_string();
                match (*operator, has) {
                    ("exists", has) => has.is_some(),
                    ("!exists", has) => has.is_none(),
                    (_, None) => false,
                    ("==" | "in" | "=~", Some(has)) => has == value,
                    ("!=" | "not_in" | "!~", Some(has)) => has != value,
                    (other, _) => panic!("{other}"),
                }
            }
            Self::Group(group, equal) => {
                let has = facts.groups.contains(&group.to_string());
                if *equal { has } else { !has && !facts.groups.is_empty() }
            }
            Self::Running(count) => facts.running >= *count,
            Self::Not(tree) => !tree.holds(facts),
            Self::And(left, right) => left.holds(facts) && right.holds(facts),
            Self::Or(left, right) => left.holds(facts) || right.holds(facts),
        }
    }

    fn only_attributes(&self) -> bool {
        match self {
            Self::Attribute(..) => true,
            Self::Group(..) | Self::Running(_) => false,
            Self::Not(tree) => tree.only_attributes(),
            Self::And(left, right) | Self::Or(left, right) => {
                left.only_attributes() && right.only_attributes()
            }
        }
    }
}

fn letter() -> impl Strategy<Value = char> {
    prop::char::range('a', 'c')
}

fn tree() -> impl Strategy<Value = Tree> {
    let operators = vec!["exists", "!exists", "==", "!=", "in", "not_in", "=~", "!~"];
    let leaf = prop_oneof![
        4 => (letter(), prop::sample::select(operators), letter())
            .prop_map(|(name, operator, value)| Tree::Attribute(name, operator, value)),
        1 => (letter(), any::<bool>()).prop_map(|(group, equal)| Tree::Group(group, equal)),
        1 => (0..3_u32).prop_map(Tree::Running),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        let pair = || (inner.clone(), inner.clone());
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            pair().prop_map(|(left, right)| Tree::And(Box::new(left), Box::new(right))),
            pair().prop_map(|(left, right)| Tree::Or(Box::new(left), Box::new(right))),
        ]
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    let value = prop::option::of(letter().prop_map(String::from));
    let attributes = prop::collection::btree_map(letter().prop_map(String::from), value, 0..3);
    let groups = prop::collection::vec(letter().prop_map(String::from), 0..3);
    (attributes, groups, 0..3_u32).prop_map(|(attributes, groups, running)| Facts {
        attributes: attributes.into_iter().collect(),
        groups,
        running,
        ..Facts::default()
    })
}

/// Texts that come near to expressions: pieces of the language in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "agentConnected",
        "agentVersion",
        "attribute:a",
        "ec2InstanceId",
        "registeredAt",
        "runningTasksCount",
        "task:group",
        " ",
        "  ",
        "==",
        "!=",
        "!",
        "=~",
        "!~",
        "<=",
        ">",
        "in",
        "!in",
        "exists",
        "!exists",
        "not",
        "and",
        "&&",
        "or",
        "||",
        "(",
        ")",
        "[",
        "]",
        ",",
        "'",
        "\"",
        "true",
        "1.2.3",
        "2018-06-18",
        "7",
        "a",
        "ä",
        "\\",
        "\\d",
        "[^a-z]",
        "(?i)",
        "(?<n>",
        "{2}",
        "*",
        "+",
        "?",
        "\\p{Lu}",
        "\\Q",
        "\\E",
        "\\x{41}",
        "&",
        "-",
        "\u{2028}",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24)
        .prop_map(|pieces| pieces.concat())
}

/// An error points into the text, at the beginning of a character.
fn pointed(text: &str, error: &QueryError) -> bool {
    text.is_char_boundary(error.at) && !error.what.is_empty()
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_means_the_same(
        tree in tree(), facts in facts(), loose in prop::sample::select(vec!["", " ", "  \n"]),
    ) {
        let text = tree.write(loose);
        let expression: Expression = match text.parse() {
            Ok(expression) => expression,
            Err(wrong) => return Err(TestCaseError::fail(format!("{text}: {wrong}"))),
        };
        prop_assert_eq!(expression.matches(&facts), tree.holds(&facts), "{}", text);
        prop_assert_eq!(expression.only_attributes(), tree.only_attributes(), "{}", text);
        prop_assert_eq!(expression.to_string().parse::<Expression>().unwrap(), expression);
    }

    #[test]
    fn pieces_in_any_order_are_read_or_refused(text in soup(), facts in facts()) {
        match text.parse::<Expression>() {
            Ok(expression) => { expression.matches(&facts); }
            Err(wrong) => prop_assert!(pointed(&text, &wrong), "{} {:?}", text, wrong),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        if let Err(wrong) = text.parse::<Expression>() {
            prop_assert!(pointed(&text, &wrong), "{} {:?}", text, wrong);
        }
    }

    #[test]
    fn any_pattern_is_read_or_refused(
        pattern in r"[a-c\[\](){}*+?|\\^$.&~:0-9dpQEx<>!=i-]{0,24}", value in "[a-c0-9.-]{0,8}",
    ) {
        let text = format!("attribute:a =~ \"{pattern}\"");
        let attributes = vec![(String::from("a"), Some(value))];
        match text.parse::<Expression>() {
            Ok(expression) => { expression.matches(&Facts { attributes, ..Facts::default() }); }
            Err(wrong) => prop_assert!(pointed(&text, &wrong), "{} {:?}", text, wrong),
        }
    }
}
