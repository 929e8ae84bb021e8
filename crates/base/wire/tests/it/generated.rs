//! Properties of the codecs, over values made from the schemas themselves.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Map, Value as Json, json};
use shapes_ecs::{
    ContainerInstance, RegisterTaskDefinitionRequest, RunTaskRequest, Task, TaskDefinition,
};
use wire::value::{Structure, Value};
use wire::{Kind, Schema};

use crate::codecs::{read_form, read_json, write_json};

/// Documents that a shape allows. Lists and maps are short, `depth` bounds the nesting.
fn document(schema: &'static Schema, depth: u32) -> BoxedStrategy<Json> {
    let (min, max) = schema.length.map_or((0, 3), |length| {
        let min = usize::try_from(length.min.unwrap_or(0)).unwrap();
        (min, length.max.map_or(min + 3, |max| usize::try_from(max).unwrap().min(min + 3)))
    });
    match &schema.kind {
        Kind::Boolean => any::<bool>().prop_map(Json::from).boxed(),
        Kind::Integer | Kind::Long => {
            let (low, high) = schema.range.map_or((None, None), |range| (range.min, range.max));
            let bound = f64::from(i32::MAX);
            let (low, high) = (low.unwrap_or(-bound) as i64, high.unwrap_or(bound) as i64);
            (low..=high).prop_map(Json::from).boxed()
        }
        Kind::Float | Kind::Double => (-1e9..1e9).prop_map(|number: f64| json!(number)).boxed(),
        Kind::String if schema.pattern.is_some() => {
            proptest::collection::vec(proptest::char::range('a', 'z'), min.max(1)..=max.max(1))
                .prop_map(|text| text.into_iter().collect::<String>().into())
                .boxed()
        }
        Kind::String => proptest::collection::vec(any::<char>(), min..=max.max(min + 1))
            .prop_map(|text| text.into_iter().collect::<String>().into())
            .boxed(),
        Kind::Enum(values) => proptest::sample::select(*values).prop_map(Json::from).boxed(),
        Kind::Blob => Just(json!("AAEC/w==")).boxed(),
        Kind::Timestamp(_) => {
            (0_i64..4_000_000_000_000).prop_map(|ms| json!(ms as f64 / 1000.0)).boxed()
        }
        Kind::List(item) => {
            proptest::collection::vec(document(item.target, depth.saturating_sub(1)), min..=max)
                .prop_map(Json::from)
                .boxed()
        }
        Kind::Map { key, value } => proptest::collection::btree_map(
            document(key.target, 0).prop_map(|key| key.as_str().unwrap().to_owned()),
            document(value.target, depth.saturating_sub(1)),
            min..=max,
        )
        .prop_map(|entries| Json::Object(entries.into_iter().collect()))
        .boxed(),
        Kind::Structure(members) | Kind::Union(members) => {
            let mut strategy = Just(Map::new()).boxed();
            for member in *members {
                if depth == 0 && !member.required {
                    continue;
                }
                let value = document(member.target, depth.saturating_sub(1));
                let value = if member.required {
                    value.prop_map(Some).boxed()
                } else {
                    Union::new_weighted(vec![
                        (2, Just(None).boxed()),
                        (1, value.prop_map(Some).boxed()),
                    ])
                    .boxed()
                };
                strategy = (strategy, value)
                    .prop_map(|(mut map, value)| {
                        if let Some(value) = value {
                            map.insert(member.wire().to_owned(), value);
                        }
                        map
                    })
                    .boxed();
            }
            strategy.prop_map(Json::Object).boxed()
        }
    }
}

fn documents<T: Structure>() -> BoxedStrategy<Json> {
    document(T::SCHEMA, 4)
}

/// Reading, writing and reading again gives the same value, and what was written is JSON that
/// another reader understands alike.
fn round_trip<T: Value + Structure + PartialEq + std::fmt::Debug>(
    json: &Json,
) -> Result<T, TestCaseError> {
    let value = read_json::<T>(json.to_string().as_bytes()).map_err(TestCaseError::fail)?;
    let written = write_json(&value);
    let again = read_json::<T>(written.as_bytes()).map_err(TestCaseError::fail)?;
    prop_assert_eq!(&value, &again);
    let parsed: Json = serde_json::from_str(&written).unwrap();
    prop_assert_eq!(same_numbers(json), same_numbers(&parsed));
    Ok(value)
}

/// The document with all numbers in whole thousandths: `1` and `1.0` are the same, and the other
/// reader's last bit does not count.
fn same_numbers(json: &Json) -> Json {
    match json {
        Json::Number(number) => json!(number.as_f64().map(|number| (number * 1000.0).round())),
        Json::Array(items) => items.iter().map(same_numbers).collect(),
        Json::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), same_numbers(value))).collect()
        }
        other => other.clone(),
    }
}

/// The document as the form that AWS Query makes of it.
fn form(json: &Json, name: &str, out: &mut String) {
    let inner =
        |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match json {
        Json::Object(entries) => {
            entries.iter().for_each(|(key, value)| form(value, &inner(key), out));
        }
        Json::Array(items) if items.is_empty() => *out += &format!("{name}=&"),
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                form(item, &inner(&format!("member.{}", index + 1)), out);
            }
        }
        Json::String(text) => {
            *out += &format!("{name}={}&", utf8_percent_encode(text, NON_ALPHANUMERIC));
        }
        other => *out += &format!("{name}={other}&"),
    }
}

/// Without empty structures and nulls, which forms cannot say.
fn sayable(json: &Json) -> bool {
    match json {
        Json::Object(entries) => !entries.is_empty() && entries.values().all(sayable),
        Json::Array(items) => items.iter().all(sayable),
        _ => true,
    }
}

/// Anything that JSON can say.
fn anything() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        let names: Vec<_> =
            RunTaskRequest::SCHEMA.members().iter().map(|member| member.wire()).collect();
        let name =
            prop_oneof![proptest::sample::select(names).prop_map(str::to_owned), any::<String>(),];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            proptest::collection::btree_map(name, inner, 0..8)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn task_definitions(json in documents::<TaskDefinition>()) {
        round_trip::<TaskDefinition>(&json)?;
    }

    #[test]
    fn registrations(json in documents::<RegisterTaskDefinitionRequest>()) {
        round_trip::<RegisterTaskDefinitionRequest>(&json)?;
    }

    #[test]
    fn tasks(json in documents::<Task>()) {
        round_trip::<Task>(&json)?;
    }

    #[test]
    fn container_instances(json in documents::<ContainerInstance>()) {
        round_trip::<ContainerInstance>(&json)?;
    }

    #[test]
    fn run_task_requests_in_both_protocols(json in documents::<RunTaskRequest>()) {
        let value = round_trip::<RunTaskRequest>(&json)?;
        if sayable(&json) {
            let mut text = String::new();
            form(&json, "", &mut text);
            let of_form = read_form::<RunTaskRequest>(text.as_bytes());
            prop_assert_eq!(of_form.map_err(TestCaseError::fail)?, value);
        }
    }
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(json in anything()) {
        let _ = read_json::<RunTaskRequest>(json.to_string().as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        let _ = read_json::<RunTaskRequest>(&bytes);
        let _ = read_form::<RunTaskRequest>(&bytes);
    }

    #[test]
    fn damaged_json_is_read_or_refused(
        json in documents::<RunTaskRequest>(),
        place in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = json.to_string().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let ours = read_json::<RunTaskRequest>(&bytes);
        // Where we read, a strict reader does too.
        if ours.is_ok() {
            prop_assert!(serde_json::from_slice::<Json>(&bytes).is_ok());
        }
        let _ = read_json::<RunTaskRequest>(&bytes[..place]);
    }

    #[test]
    fn any_form_is_read_or_refused(text in "([a-z.0-9]{0,12}(tags|member|key|overrides|count|\\.)=?[%a-f0-9+&]{0,6}&?){0,12}") {
        let _ = read_form::<RunTaskRequest>(text.as_bytes());
    }
}
