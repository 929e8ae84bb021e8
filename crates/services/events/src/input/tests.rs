//! Inputs as recorded against EventBridge.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use terms::Timestamp;

use super::*;
use crate::model::NewEvent;

fn event() -> Event {
    let new = NewEvent {
        id: "e00c66cb-fe7a-4fcc-81ad-58eb60f5d96b".to_owned(),
        detail_type: "myDetailType".to_owned(),
        source: "com.mycompany.myapp".to_owned(),
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        time: Timestamp::from_millis(1_767_323_045_678),
        resources: vec!["a".to_owned(), "b".to_owned()],
        detail: r#"{"command":"update","list":["A","B"],"n":3,"ok":true,"o":{"acc_id":"0a"}}"#
            .to_owned(),
    };
    Event::new(new)
}

const AROUND: Surroundings<'_> = Surroundings {
    rule_arn: "arn:aws:events:us-east-1:123456789012:rule/r",
    rule_name: "r",
    ingestion_time: "2026-01-02T03:04:05Z",
};

fn fill(template: &str, paths: &[(&str, &str)]) -> String {
    let path = |(name, path): &(&str, &str)| ((*name).to_owned(), Path::parse(path).unwrap());
    let template = Template::parse(template, paths.iter().map(path).collect()).unwrap();
    let event = event();
    Input::Template(template).of(&event, &event.value(), &AROUND)
}

#[test]
fn events_are_written_in_their_order() {
    assert_eq!(
        event().text(),
        "{\"version\":\"0\",\"id\":\"e00c66cb-fe7a-4fcc-81ad-58eb60f5d96b\",\
         \"detail-type\":\"myDetailType\",\"source\":\"com.mycompany.myapp\",\
         \"account\":\"123456789012\",\"time\":\"2026-01-02T03:04:05Z\",\"region\":\"us-east-1\",\
         \"resources\":[\"a\",\"b\"],\"detail\":{\"command\":\"update\",\"list\":[\"A\",\"B\"],\
         \"n\":3,\"ok\":true,\"o\":{\"acc_id\":\"0a\"}}}"
    );
}

#[test]
fn parts() {
    let part = |path: &str| {
        let event = event();
        Input::Part(Path::parse(path).unwrap()).of(&event, &event.value(), &AROUND)
    };
    assert_eq!(part("$.detail.command"), "\"update\"");
    assert_eq!(part("$.resources[1]"), "\"b\"");
    assert_eq!(part("$.detail-type"), "\"myDetailType\"");
    assert_eq!(part("$['detail']['n']"), "3");
    assert_eq!(part("$.detail.none"), "");
    assert!(part("$").starts_with('{'));
    for wrong in ["detail", "$.", "$..a", "$[a]", "$.a[", "$a"] {
        assert_eq!(Path::parse(wrong), Err(PathError), "{wrong}");
    }
}

#[test]
fn templates() {
    let paths = [
        ("command", "$.detail.command"),
        ("list", "$.detail.list"),
        ("o", "$.detail.o"),
        ("ok", "$.detail.ok"),
        ("none", "$.detail.none"),
    ];
    assert_eq!(
        fill("\"It was <command>d: <list> <o> <ok><none>\"", &paths),
        "\"It was updated: [A,B] {acc_id:0a} true\""
    );
    assert_eq!(
        fill(
            "{\"c\": <command>, \"l\": <list>, \"o\": <o>, \"n\": <none>, \"t\": \"<ok>!\"}",
            &paths
        ),
        "{\"c\": \"update\", \"l\": [\"A\",\"B\"], \"o\": {\"acc_id\":\"0a\"}, \"n\": \"\", \"t\": \"true!\"}"
    );
    assert_eq!(
        fill("\"<aws.events.rule-name> at <aws.events.event.ingestion-time>\"", &[]),
        "\"r at 2026-01-02T03:04:05Z\""
    );
    assert!(fill("<aws.events.event>", &[]).contains("\"detailType\":\"myDetailType\""));
    assert_eq!(fill("\"a < b \\\" <command>\"", &paths), "\"a < b \\\" update\"");
    let wrong = Template::parse("\"<who>\"", BTreeMap::new()).unwrap_err();
    assert_eq!(wrong.placeholder, "<who>");
}

proptest! {
    /// Any text is a template or names what is unknown, and any path is one or none.
    #[test]
    fn any_template_is_survived(text in "[<>\"\\a.{}é-]{0,40}", path in "\\$?[.a0'\"é\\[\\]]{0,12}") {
        let known = Path::parse(&path).ok().map(|path| ("a".to_owned(), path));
        let event = event();
        if let Ok(template) = Template::parse(&text, known.into_iter().collect()) {
            Input::Template(template).of(&event, &event.value(), &AROUND);
        }
    }

    /// A text without names stays as it is.
    #[test]
    fn a_template_without_names_is_itself(text in "[a-z \"\\{}:]{0,40}") {
        prop_assert_eq!(fill(&text, &[]), text);
    }

    /// What stands at a path is found there, whichever way it is written.
    #[test]
    fn what_is_at_a_path_is_found(keys in prop::collection::vec("[a-z-]{1,4}", 1..5), dotted in any::<bool>()) {
        let nested = keys.iter().rev().fold(Value::from(7), |inner, key| {
            Value::Object([(key.clone(), inner)].into_iter().collect())
        });
        let step = |key: &String| if dotted { format!(".{key}") } else { format!("['{key}']") };
        let text = format!("${}", keys.iter().map(step).collect::<String>());
        prop_assert_eq!(Path::parse(&text).unwrap().find(&nested), Some(&Value::from(7)));
    }
}
