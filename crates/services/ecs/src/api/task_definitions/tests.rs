//! Definitions as people write them, and what becomes of them when they are bent.

use proptest::prelude::*;
use serde_json::{Value, json};
use shapes_ecs as shapes;
use terms::Timestamp;
use wire::check::Check;
use wire::protocol::JsonReader;
use wire::value::{Structure, Value as _};

use super::document::{Registration, document};
use super::{requires, rules};
use crate::model::json as written;

/// Definitions of many kinds, each with what must become of it.
const FIXTURES: &str = include_str!("fixtures/definitions.json");

type Request = shapes::RegisterTaskDefinitionRequest;

/// The request, if it keeps what the model itself says.
fn read(json: &str) -> Option<Request> {
    let mut check = Check::strict();
    let mut shape = None;
    let read = JsonReader::read_document(json.as_bytes(), &mut check, &mut |reader| {
        shape = Request::read(reader, Request::SCHEMA)?;
        Ok(())
    });
    read.ok().filter(|()| check.violations().is_empty())?;
    shape
}

/// What registration would answer: the text of a refusal, or the definition as shown.
fn register(request: &Request) -> Result<shapes::TaskDefinition, String> {
    let checked = rules::check(request).map_err(|error| error.to_string())?;
    let requires = requires::attributes(request, checked.network_mode, checked.cpu);
    let arn = "arn:aws:ecs:us-east-1:123456789012:task-definition/f:1".parse().expect("an ARN");
    let at = Timestamp::from_millis(0);
    let registration = Registration { arn: &arn, at, by: "me", requires: &requires };
    Ok(document(request, &checked, &registration))
}

fn fixtures() -> Vec<Value> {
    serde_json::from_str(FIXTURES).expect("the fixtures are JSON")
}

fn registered(json: &Value) -> Result<Value, String> {
    let request = read(&json.to_string()).unwrap_or_else(|| panic!("the model refuses {json}"));
    register(&request)
        .map(|shown| serde_json::from_slice(&written(&shown)).expect("what is written is JSON"))
}

#[test]
fn definitions_of_many_kinds() {
    for fixture in fixtures() {
        let name = &fixture["name"];
        match (registered(&fixture["definition"]), fixture["refused"].as_str()) {
            (Ok(shown), None) => {
                assert_eq!(shown["compatibilities"], fixture["compatibilities"], "{name}");
            }
            (Err(told), Some(expected)) => assert_eq!(told, expected, "{name}"),
            (Ok(_), Some(expected)) => panic!("{name} is registered, not refused: {expected}"),
            (Err(told), None) => panic!("{name} is refused: {told}"),
        }
    }
}

/// Tools take what DescribeTaskDefinition shows, drop what only ECS writes, and register it.
#[test]
fn what_is_shown_can_be_registered_again() {
    const ONLY_SHOWN: [&str; 7] = [
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
    ];
    for fixture in fixtures() {
        let Ok(shown) = registered(&fixture["definition"]) else { continue };
        let mut again = shown.clone();
        let members = again.as_object_mut().expect("a definition is an object");
        members.retain(|name, _| !ONLY_SHOWN.contains(&name.as_str()));
        assert_eq!(registered(&again), Ok(shown), "{}", fixture["name"]);
    }
}

/// Where a value is: the steps to it.
fn places(value: &Value, at: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
    all.push(at.clone());
    let mut deeper = |step: String, inner: &Value| {
        at.push(step);
        places(inner, at, all);
        at.pop();
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, v)| deeper(name.clone(), v)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, v)| deeper(index.to_string(), v));
        }
        _ => {}
    }
}

/// How a definition is bent at one place.
#[derive(Clone, Debug)]
enum Bend {
    Put(Value),
    Remove,
    Repeat,
}

fn bend(definition: &mut Value, place: usize, how: &Bend) {
    let mut all = Vec::new();
    places(definition, &mut Vec::new(), &mut all);
    let path = &all[place % all.len()];
    let Some((last, parents)) = path.split_last() else { return };
    let mut target = definition;
    for step in parents {
        target = match target {
            Value::Array(items) => &mut items[step.parse::<usize>().expect("an index")],
            other => &mut other[step.as_str()],
        };
    }
    match (target, how) {
        (Value::Object(members), Bend::Put(value)) => {
            members.insert(last.clone(), value.clone());
        }
        (Value::Object(members), Bend::Remove | Bend::Repeat) => {
            members.remove(last);
        }
        (Value::Array(items), how) => {
            let index = last.parse::<usize>().expect("an index");
            match how {
                Bend::Put(value) => items[index] = value.clone(),
                Bend::Remove => drop(items.remove(index)),
                Bend::Repeat => items.push(items[index].clone()),
            }
        }
        _ => {}
    }
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i32>().prop_map(i64::from),
        Just(-1),
        Just(0),
        Just(65_536),
        Just(i64::from(i32::MAX)),
        Just(i64::from(i32::MIN)),
    ];
    let text = prop_oneof![
        "\\PC{0,12}",
        "[0-9.]{0,6} ?(vCPU|GB|gb|)",
        "[0-9]{1,6}-[0-9]{1,6}",
        "arn:[a-z:]{0,20}",
        "(web|app|a|data|envoy)(:[a-z]{0,3})?",
        Just("@sha256:".to_owned()),
        Just("1e999".to_owned()),
        Just("NaN".to_owned()),
        Just("host".to_owned()),
        Just("awsvpc".to_owned()),
        Just("FARGATE".to_owned()),
    ];
    prop_oneof![
        number.prop_map(Value::from),
        text.prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
    ]
}

fn how() -> impl Strategy<Value = Bend> {
    prop_oneof![4 => value().prop_map(Bend::Put), 1 => Just(Bend::Remove), 1 => Just(Bend::Repeat)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is written into a definition, it is registered or refused; nothing panics, and
    /// what is registered can be registered again as it is shown.
    #[test]
    fn bent_definitions_are_registered_or_refused(
        which in any::<prop::sample::Index>(),
        bends in prop::collection::vec((any::<u16>(), how()), 1..4),
    ) {
        let fixtures = fixtures();
        let mut definition = which.get(&fixtures)["definition"].clone();
        for (place, how) in &bends {
            bend(&mut definition, usize::from(*place), how);
        }
        let Some(request) = read(&definition.to_string()) else { return Ok(()) };
        if let Err(told) = register(&request) {
            prop_assert!(!told.is_empty());
        }
    }
}
