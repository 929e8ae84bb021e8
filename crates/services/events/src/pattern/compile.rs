//! From a pattern's tree to alternatives of leaves.

use super::json::{Kind, Node, error};
use super::operators;
use super::{ALTERNATIVES_MAX, Leaf, PatternError};

/// What cannot be a key within an `$or`: there it would be an element's operator.
const RESERVED: [&str; 9] = [
    "exactly",
    "prefix",
    "suffix",
    "equals-ignore-case",
    "anything-but",
    "numeric",
    "cidr",
    "exists",
    "wildcard",
];
const OR: &str = "$or";

/// The alternatives of a pattern.
pub(super) fn compile(tree: &Node, text: &str) -> Result<Vec<Vec<Leaf>>, PatternError> {
    let Kind::Object(entries) = &tree.kind else {
        return Err(error(text, tree.column, "Filter is not an object"));
    };
    object(entries, tree, &mut Vec::new(), text)
}

/// The alternatives of an object: those of its members, each with each.
fn object<'a>(
    entries: &'a [(String, Node)],
    node: &Node,
    path: &mut Vec<&'a str>,
    text: &str,
) -> Result<Vec<Vec<Leaf>>, PatternError> {
    if entries.is_empty() {
        return Err(error(text, node.column, "Empty objects are not allowed"));
    }
    let mut all = vec![Vec::new()];
    for (name, value) in entries {
        let more = match &value.kind {
            Kind::Array(items) if name == OR && is_relationship(items) => {
                either(items, value, path, text)?
            }
            Kind::Array(items) => {
                path.push(name);
                let leaf = leaf(items, value, path, text)?;
                path.pop();
                vec![vec![leaf]]
            }
            Kind::Object(inner) => {
                path.push(name);
                let inner = object(inner, value, path, text)?;
                path.pop();
                inner
            }
            _ => {
                let reason = format!("\"{name}\" must be an object or an array");
                return Err(error(text, value.column, reason));
            }
        };
        if all.len() * more.len() > ALTERNATIVES_MAX {
            let reason = format!(
                "Rule is too complex - the $or combinations are more than {ALTERNATIVES_MAX}"
            );
            return Err(error(text, value.column, reason));
        }
        let each_with_each = all.iter().flat_map(|before: &Vec<Leaf>| {
            more.iter().map(move |new| [before.as_slice(), new.as_slice()].concat())
        });
        all = each_with_each.collect();
    }
    Ok(all)
}

fn is_relationship(items: &[Node]) -> bool {
    let names_fields = |item: &Node| match &item.kind {
        Kind::Object(entries) => !entries.iter().any(|(name, _)| RESERVED.contains(&name.as_str())),
        _ => false,
    };
    !items.is_empty() && items.iter().all(names_fields)
}

/// The alternatives of an `$or`: those of each of its objects.
fn either<'a>(
    items: &'a [Node],
    node: &Node,
    path: &mut Vec<&'a str>,
    text: &str,
) -> Result<Vec<Vec<Leaf>>, PatternError> {
    if items.len() < 2 {
        let reason = "There must have at least 2 Objects in $or relationship.";
        return Err(error(text, node.column, reason));
    }
    let mut all = Vec::new();
    for item in items {
        if let Kind::Object(entries) = &item.kind {
            all.extend(object(entries, item, path, text)?);
        }
    }
    Ok(all)
}

fn leaf(items: &[Node], node: &Node, path: &[&str], text: &str) -> Result<Leaf, PatternError> {
    if items.is_empty() {
        return Err(error(text, node.column, "Empty arrays are not allowed"));
    }
    let matchers =
        items.iter().map(|item| operators::element(item, text)).collect::<Result<_, _>>();
    Ok(Leaf { path: path.join("."), matchers: matchers? })
}
