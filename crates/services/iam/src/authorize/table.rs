//! Which resources a call is about: a table of operations, read once.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

/// What a call is about; each must be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Its ARN, or `*`.
    pub(super) resource: String,
    /// Another spelling that policies use for it: being allowed under either is enough.
    pub(super) or: Option<String>,
}

/// The resources of an operation; each may have another spelling.
type Resources = Vec<(Template, Option<Template>)>;

/// An operation that is built.
struct Row {
    /// As policies name it: `ecs:RunTask`.
    action: String,
    resources: Resources,
}

type Table = HashMap<(&'static str, &'static str), Row>;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let lines = include_str!("operations.txt").lines().filter(|line| !line.starts_with('#'));
    let mut table = Table::new();
    for line in lines {
        let mut parts = line.splitn(3, ' ');
        let (Some(service), Some(operations), Some(resources)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let read = |text: &'static str| match text.split_once(" or ") {
            Some((one, other)) => (Template::new(one), Some(Template::new(other))),
            None => (Template::new(text), None),
        };
        let resources: Resources = resources.split(" + ").map(read).collect();
        for operation in operations.split(',') {
            let action = format!("{}:{operation}", super::prefix(service));
            table.insert((service, operation), Row { action, resources: resources.clone() });
        }
    }
    table
});

/// Where a call is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
}

impl Place<'_> {
    fn arn(&self, rest: &str) -> String {
        let Place { service, region, account } = self;
        let (service, region) = match *service {
            "sts" if rest.starts_with("federated-user/") => ("sts", ""),
            "iam" | "sts" => ("iam", ""),
            "monitoring" => ("cloudwatch", *region),
            service => (service, *region),
        };
        format!("arn:aws:{service}:{region}:{account}:{rest}")
    }
}

/// What policies call an operation; `None` for one that is not in the table.
pub(super) fn action<'a>(service: &'a str, operation: &'a str) -> Option<&'a str> {
    TABLE.get(&(service, operation)).map(|row| row.action.as_str())
}

/// The resources of a call; `None` for an operation that is not in the table.
pub(super) fn targets(place: Place<'_>, operation: &str, input: &Value) -> Option<Vec<Target>> {
    let templates = &TABLE.get(&(place.service, operation))?.resources;
    let mut targets = Vec::new();
    for (template, or) in templates {
        let filled = fill(place, template, input);
        let others = or.as_ref().map(|or| fill(place, or, input)).unwrap_or_default();
        for (at, resource) in filled.into_iter().enumerate() {
            let or = others.get(at).or(others.first()).cloned();
            targets.push(Target { resource, or });
        }
    }
    Some(targets)
}

/// The resource of an operation, as the table writes it.
#[derive(Debug, Clone)]
struct Template {
    pieces: Vec<Piece>,
}

/// A piece of a template.
#[derive(Debug, Clone)]
enum Piece {
    Text(&'static str),
    /// Members of which the first that is there counts; and what stands for them if none is.
    Member(Vec<&'static str>, Option<&'static str>),
}

impl Template {
    fn new(template: &'static str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let Some((inner, after)) = after.split_once('}') else { break };
            pieces.push(Piece::Text(text));
            let (names, default) = match inner.split_once('=') {
                Some((names, default)) => (names, Some(default)),
                None => (inner, None),
            };
            pieces.push(Piece::Member(names.split('|').collect(), default));
            rest = after;
        }
        pieces.push(Piece::Text(rest));
        Self { pieces }
    }

    /// The pieces with what the input has.
    fn of_input(&self, input: &Value) -> Vec<Filled> {
        let filled = |piece: &Piece| match piece {
            Piece::Text(text) => Filled::Text(text),
            Piece::Member(names, default) => {
                let mut found = names.iter().map(|name| members(input, name));
                let values = found.find(|values| !values.is_empty()).unwrap_or_default();
                Filled::Values(match (values.is_empty(), default) {
                    (true, Some(default)) => vec![(*default).to_owned()],
                    _ => values,
                })
            }
        };
        self.pieces.iter().map(filled).collect()
    }
}

/// A piece with what the input has for it.
enum Filled {
    Text(&'static str),
    Values(Vec<String>),
}

/// The texts that a member has: one, or those of a list; `a.b` goes inside.
pub(super) fn members(input: &Value, name: &str) -> Vec<String> {
    let (head, rest) = match name.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (name, None),
    };
    let Some(value) = input.get(head) else { return Vec::new() };
    let items = match value {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    };
    let one = |item: &Value| match (item, rest) {
        (item, Some(rest)) => members(item, rest),
        (Value::String(text), None) => vec![text.clone()],
        (Value::Null | Value::Array(_) | Value::Object(_), None) => Vec::new(),
        (other, None) => vec![other.to_string()],
    };
    items.into_iter().flat_map(one).collect()
}

/// The resources of a template: as many as its last member has values; `*` if one is missing.
fn fill(place: Place<'_>, template: &Template, input: &Value) -> Vec<String> {
    if let [Piece::Text(text)] = template.pieces[..] {
        return vec![if text == "*" { "*".to_owned() } else { place.arn(text) }];
    }
    let pieces = template.of_input(input);
    let last = pieces.iter().rposition(|piece| matches!(piece, Filled::Values(_)));
    let Some((last, Filled::Values(values))) = last.map(|last| (last, &pieces[last])) else {
        return vec!["*".to_owned()];
    };
    if values.is_empty() {
        return vec!["*".to_owned()];
    }
    values.iter().map(|value| one(place, &pieces, last, value)).collect()
}

fn one(place: Place<'_>, pieces: &[Filled], last: usize, value: &str) -> String {
    let mut out = String::new();
    let is_arn = value.starts_with("arn:") && takes_arns(place);
    if is_arn {
        out.push_str(value.trim_end_matches(":*"));
    }
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Filled::Text(_) if is_arn && at < last => {}
            Filled::Text(text) => out.push_str(text),
            Filled::Values(_) if at == last => {
                if !is_arn {
                    out.push_str(plain(place, value));
                }
            }
            Filled::Values(_) if is_arn => {}
            // An ARN in the middle, such as a cluster's, gives its name.
            Filled::Values(values) => {
                let value = values.first().map_or("*", String::as_str);
                out.push_str(match value.strip_prefix("arn:").filter(|_| takes_arns(place)) {
                    Some(rest) => rest.rsplit('/').next().unwrap_or_default(),
                    None => plain(place, value),
                });
            }
        }
    }
    let mut out = if is_arn { out } else { place.arn(&out) };
    if place.service == "elasticloadbalancing" {
        out = out.replace(":loadbalancer/application/", ":loadbalancer/app/");
        out = out.replace(":loadbalancer/network/", ":loadbalancer/net/");
    }
    if place.service == "events" {
        // Rules of the default bus do not name it.
        out = out.replace(":rule/default/", ":rule/");
    }
    out
}

/// Whether a service takes ARNs where names stand. Names of alarms and streams may be anything: one
/// that looks like an ARN must not choose what is decided on.
fn takes_arns(place: Place<'_>) -> bool {
    !matches!(place.service, "logs" | "monitoring")
}

/// Names as ARNs have them: log groups without what may stand around them, parameters without their first slash and without a version or a label,
/// providers without their scheme.
fn plain<'a>(place: Place<'_>, value: &'a str) -> &'a str {
    match place.service {
        "ssm" => {
            let name = value.split(':').next().unwrap_or_default();
            name.strip_prefix('/').unwrap_or(name)
        }
        "logs" => {
            let name = value.split_once(":log-group:").map_or(value, |(_, name)| name);
            name.strip_suffix(":*").unwrap_or(name)
        }
        "iam" => {
            let bare = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
            bare.unwrap_or(value)
        }
        _ => value,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The crate's folder is where tests run.
    const OPERATIONS: &str = "../../../models/operations.toml";

    #[test]
    fn every_operation_that_is_built_is_in_the_table() {
        let text = std::fs::read_to_string(OPERATIONS).unwrap();
        let mut service = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                service = match name {
                    "cloudwatch" => "monitoring",
                    "elbv2" => "elasticloadbalancing",
                    name => name,
                };
            } else if let Some((operation, _)) = line.split_once(" = ") {
                assert!(TABLE.contains_key(&(service, operation)), "{service}:{operation}");
            }
        }
    }

    #[test]
    fn resources_are_those_of_the_input() {
        let check = |service: &str, operation: &str, input: Value, expected: &[&str]| {
            let place = Place { service, region: "r", account: "1" };
            let got = targets(place, operation, &input).unwrap();
            let got: Vec<_> = got.iter().map(|target| target.resource.as_str()).collect();
            assert_eq!(got, expected, "{service}:{operation} {input}");
        };
        let task = "arn:aws:ecs:r:1:task/c/1";
        check("ecs", "ListClusters", json!({}), &["*"]);
        check("ecs", "DescribeClusters", json!({}), &["arn:aws:ecs:r:1:cluster/default"]);
        check("ecs", "StopTask", json!({ "cluster": "c", "task": "1" }), &[task]);
        check("ecs", "StopTask", json!({ "task": task }), &[task]);
        let cluster = "arn:aws:ecs:r:1:cluster/c";
        let two = json!({ "cluster": cluster, "tasks": ["1", "2"] });
        check("ecs", "DescribeTasks", two, &[task, "arn:aws:ecs:r:1:task/c/2"]);
        let exec = json!({ "cluster": cluster, "task": "1" });
        check("ecs", "ExecuteCommand", exec, &[cluster, task]);
        let secret = "arn:aws:secretsmanager:r:1:secret:a/b";
        check("secretsmanager", "GetSecretValue", json!({ "SecretId": "a/b" }), &[secret]);
        let parameter = "arn:aws:ssm:r:1:parameter/a/b";
        check("ssm", "GetParameter", json!({ "Name": "/a/b:3" }), &[parameter]);
        let rule = json!({ "Rule": "x" });
        check("events", "PutTargets", rule, &["arn:aws:events:r:1:rule/x"]);
        let role = json!({ "RoleName": "x", "Path": "/a/" });
        check("iam", "CreateRole", role, &["arn:aws:iam::1:role/a/x"]);
        let group = json!({ "logGroupName": "g" });
        check("logs", "CreateLogGroup", group, &["arn:aws:logs:r:1:log-group:g:log-stream:"]);
        let group = "arn:aws:logs:r:1:log-group:g:log-stream:";
        let by_arn = json!({ "logGroupIdentifier": "x:log-group:g" });
        check("logs", "FilterLogEvents", by_arn, &[group]);
        let stream = json!({ "logGroupName": "g", "logStreamName": "arn:aws:logs:r:1:mine" });
        check("logs", "PutLogEvents", stream, &[&format!("{group}arn:aws:logs:r:1:mine")]);
        let place = Place { service: "ecs", region: "r", account: "1" };
        assert_eq!(targets(place, "Unknown", &json!({})), None);
    }
}
