//! What differs between two documents, field by field: pure.

use serde_json::Value;

/// What things in lists are told apart by, the first that all of them have.
const NAMES: [&str; 8] = [
    "name",
    "key",
    "containerPath",
    "containerPort",
    "containerName",
    "hostPath",
    "capacityProvider",
    "sourceContainer",
];

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where it is, as in `containerDefinitions[app].image`.
    pub path: String,
    /// What it is; none if it is not there.
    pub before: Option<Value>,
    /// What it would be; none if it would not be there.
    pub after: Option<Value>,
}

/// The fields in which `after` differs from `before`, in the order of their paths. Things in lists
/// that have names are compared by name, wherever they stand; nothing, null, and a list or an
/// object with nothing in it are the same.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    let is_something = |one: &&Value| path.is_empty() || !is_nothing(one);
    let (before, after) = (before.filter(is_something), after.filter(is_something));
    match (before, after) {
        (None, None) => {}
        (Some(one), Some(other)) if one == other => {}
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&path, one.get(name), other.get(name), found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => lists(path, one, other, found),
        // What is new or gone is told in its parts where these have names.
        (None, Some(Value::Array(other))) if name_of(other).is_some() => {
            lists(path, &[], other, found);
        }
        (Some(Value::Array(one)), None) if name_of(one).is_some() => lists(path, one, &[], found),
        (before, after) => found.push(Change {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn lists(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Change>) {
    let both: Vec<Value> = before.iter().chain(after).cloned().collect();
    let Some(name) = name_of(&both).filter(|name| is_apart(before, name) && is_apart(after, name))
    else {
        for at in 0..before.len().max(after.len()) {
            compare(&format!("{path}[{at}]"), before.get(at), after.get(at), found);
        }
        return;
    };
    let find = |all: &[Value], what: &Value| all.iter().position(|one| &one[name] == what);
    for one in before {
        let other = find(after, &one[name]).map(|at| &after[at]);
        item(path, name, Some(one), other, found);
    }
    for other in after.iter().filter(|other| find(before, &other[name]).is_none()) {
        item(path, name, None, Some(other), found);
    }
}

/// One thing of a list. A pair of a name and a value is told as one field.
fn item(
    path: &str,
    name: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<Change>,
) {
    let Some(either) = before.or(after) else { return };
    let label = match &either[name] {
        Value::String(label) => label.clone(),
        label => label.to_string(),
    };
    let path = format!("{path}[{label}]");
    let is_pair = |one: &Value| {
        one.as_object().is_some_and(|members| members.len() == 2 && members.contains_key("value"))
    };
    if [before, after].into_iter().flatten().all(is_pair) {
        let value = |one: Option<&Value>| one.map(|one| one["value"].clone());
        let (before, after) = (value(before), value(after));
        if before != after {
            found.push(Change { path, before, after });
        }
        return;
    }
    compare(&path, before, after, found);
}

/// What all things of a list are told apart by.
fn name_of(list: &[Value]) -> Option<&'static str> {
    let has_all = |name: &&str| !list.is_empty() && list.iter().all(|one| !one[*name].is_null());
    NAMES.into_iter().find(|name| has_all(name))
}

/// Whether no two things of a list have the same name.
fn is_apart(list: &[Value], name: &str) -> bool {
    list.iter().enumerate().all(|(at, one)| list[..at].iter().all(|other| other[name] != one[name]))
}

/// Null, and what has nothing in it.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(before: Value, after: Value, expected: &[(&str, Value, Value)]) {
        let told = changes(&before, &after);
        let told: Vec<_> = told
            .into_iter()
            .map(|one| (one.path, one.before.unwrap_or_default(), one.after.unwrap_or_default()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(path, before, after)| ((*path).to_owned(), before.clone(), after.clone()))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn things_with_names_are_compared_by_name() {
        let before = json!({"containerDefinitions": [
            {"name": "app", "image": "web:1", "memory": 64, "environment": [
                {"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "log", "image": "log:1"},
        ]});
        let after = json!({"containerDefinitions": [
            {"name": "log", "image": "log:1"},
            {"name": "app", "image": "web:2", "memory": 64, "environment": [
                {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
        ]});
        check(
            before,
            after,
            &[
                ("containerDefinitions[app].environment[A]", json!("1"), json!(null)),
                ("containerDefinitions[app].environment[B]", json!("2"), json!("3")),
                ("containerDefinitions[app].environment[C]", json!(null), json!("4")),
                ("containerDefinitions[app].image", json!("web:1"), json!("web:2")),
            ],
        );
    }

    #[test]
    fn lists_without_names_are_compared_by_place() {
        check(
            json!({"command": ["a", "b"], "placementStrategy": [{"type": "spread", "field": "x"}]}),
            json!({"command": ["a", "c", "d"], "placementStrategy": [{"type": "binpack", "field": "x"}]}),
            &[
                ("command[1]", json!("b"), json!("c")),
                ("command[2]", json!(null), json!("d")),
                ("placementStrategy[0].type", json!("spread"), json!("binpack")),
            ],
        );
        // The same name twice: by place.
        let ports = |second: u32| {
            json!({"portMappings": [{"containerPort": 53, "protocol": "tcp"},
                                    {"containerPort": 53, "protocol": "udp", "hostPort": second}]})
        };
        check(ports(1), ports(2), &[("portMappings[1].hostPort", json!(1), json!(2))]);
    }

    #[test]
    fn nothing_is_nothing() {
        check(
            json!({"volumes": [], "cpu": null, "linux": {"capabilities": {}}}),
            json!({"tags": []}),
            &[],
        );
        check(json!({"cpu": 0}), json!({}), &[("cpu", json!(0), json!(null))]);
        check(
            json!({}),
            json!({"volumes": [{"name": "v", "host": {"sourcePath": "/v"}}]}),
            &[("volumes[v]", json!(null), json!({"name": "v", "host": {"sourcePath": "/v"}}))],
        );
    }
}
