//! Log events: pages, tokens, what is dropped, and that what was acknowledged is there after a
//! restart.

use ledger::MemoryStore;
use serde_json::{Value, json};

use super::world::{NOW, World};

async fn stream(world: &World) {
    world.logs("CreateLogGroup", json!({"logGroupName": "/g"})).await;
    let named = json!({"logGroupName": "/g", "logStreamName": "s"});
    world.logs("CreateLogStream", named).await;
}

async fn put(world: &World, stream: &str, from: i64, count: i64) {
    let event =
        |n: i64| json!({"timestamp": NOW - 1_000_000 + n / 2, "message": format!("line {n}")});
    let events: Vec<Value> = (from..from + count).map(event).collect();
    let input = json!({"logGroupName": "/g", "logStreamName": stream, "logEvents": events});
    let answer = world.logs("PutLogEvents", input).await;
    assert!(answer.get("rejectedLogEventsInfo").is_none(), "{answer}");
    assert_eq!(answer["nextSequenceToken"].as_str().unwrap().len(), 56);
}

async fn get(world: &World, more: Value) -> Value {
    let mut input = json!({"logGroupName": "/g", "logStreamName": "s"});
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    world.logs("GetLogEvents", input).await
}

fn lines(answer: &Value) -> Vec<i64> {
    let line = |event: &Value| {
        let message = event["message"].as_str().unwrap();
        message.strip_prefix("line ").unwrap().parse().unwrap()
    };
    answer["events"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn pages_give_every_event_once_in_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(MemoryStore::new(), folder.path());
    stream(&world).await;
    put(&world, "s", 0, 250).await;
    // Forwards, two events of each millisecond.
    let (mut seen, mut token) = (Vec::new(), None::<Value>);
    loop {
        let more = match &token {
            None => json!({"startFromHead": true, "limit": 33}),
            Some(token) => json!({"startFromHead": true, "limit": 33, "nextToken": token}),
        };
        let page = get(&world, more).await;
        seen.extend(lines(&page));
        let next = page["nextForwardToken"].clone();
        if token.as_ref() == Some(&next) {
            break;
        }
        token = Some(next);
    }
    assert_eq!(seen, (0..250).collect::<Vec<_>>());
    // What comes later is found with the last token.
    put(&world, "s", 250, 3).await;
    let page = get(&world, json!({"startFromHead": true, "nextToken": token})).await;
    assert_eq!(lines(&page), [250, 251, 252]);
    // Without a token and the wish to begin at the head: the newest page.
    let newest = get(&world, json!({"limit": 10})).await;
    assert_eq!(lines(&newest), (243..253).collect::<Vec<_>>());
    let before = get(&world, json!({"limit": 10, "nextToken": newest["nextBackwardToken"]})).await;
    assert_eq!(lines(&before), (233..243).collect::<Vec<_>>());
    // The end of a range does not belong to it.
    let at = NOW - 1_000_000;
    let range = get(&world, json!({"startTime": at + 1, "endTime": at + 2})).await;
    assert_eq!(lines(&range), [2, 3]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (folder, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    {
        let world = World::on(store.clone(), folder.path());
        stream(&world).await;
        put(&world, "s", 0, 5).await;
    }
    let world = World::on(store, folder.path());
    put(&world, "s", 5, 5).await;
    let page = get(&world, json!({"startFromHead": true})).await;
    assert_eq!(lines(&page), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_that_is_made_again_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(MemoryStore::new(), folder.path());
    stream(&world).await;
    put(&world, "s", 0, 5).await;
    world.logs("DeleteLogGroup", json!({"logGroupName": "/g"})).await;
    stream(&world).await;
    assert_eq!(lines(&get(&world, json!({})).await), [0; 0]);
    put(&world, "s", 7, 1).await;
    world.logs("DeleteLogStream", json!({"logGroupName": "/g", "logStreamName": "s"})).await;
    let named = json!({"logGroupName": "/g", "logStreamName": "s"});
    world.logs("CreateLogStream", named).await;
    assert_eq!(lines(&get(&world, json!({})).await), [0; 0]);
}

#[tokio::test]
async fn streams_are_merged_and_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(MemoryStore::new(), folder.path());
    stream(&world).await;
    let other = json!({"logGroupName": "/g", "logStreamName": "other"});
    world.logs("CreateLogStream", other).await;
    put(&world, "s", 0, 10).await;
    put(&world, "other", 4, 10).await;
    let (mut seen, mut ids, mut token) = (0, std::collections::BTreeSet::new(), Value::Null);
    let mut last = 0;
    loop {
        let mut input = json!({"logGroupName": "/g", "limit": 3, "interleaved": true});
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let page = world.logs("FilterLogEvents", input).await;
        for event in page["events"].as_array().unwrap() {
            assert!(ids.insert(event["eventId"].as_str().unwrap().to_owned()));
            let at = event["timestamp"].as_i64().unwrap();
            assert!(at >= last);
            last = at;
            seen += 1;
        }
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, 20);
    let input =
        json!({"logGroupName": "/g", "filterPattern": "\"line 13\"", "logStreamNames": ["other"]});
    let page = world.logs("FilterLogEvents", input).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    assert_eq!(page["events"][0]["logStreamName"], "other");
    let by_time = json!({"logGroupName": "/g", "orderBy": "LastEventTime", "descending": true});
    let page = world.logs("DescribeLogStreams", by_time).await;
    assert_eq!(page["logStreams"][0]["logStreamName"], "other");
}

/// What `aws logs tail --follow` of the CLI's second version asks, turn by turn: all pages from
/// `start` on; then from the newest time seen, without what was printed of it.
struct Tail {
    start: i64,
    seen: Vec<String>,
    printed: Vec<String>,
}

impl Tail {
    async fn turn(&mut self, world: &World) {
        let mut token = Value::Null;
        let mut newest = Vec::new();
        loop {
            let mut input = json!({
                "logGroupName": "/g", "interleaved": true, "startTime": self.start, "limit": 4,
            });
            if !token.is_null() {
                input["nextToken"] = token;
            }
            let page = world.logs("FilterLogEvents", input).await;
            for event in page["events"].as_array().unwrap() {
                let id = event["eventId"].as_str().unwrap().to_owned();
                let at = event["timestamp"].as_i64().unwrap();
                if self.seen.contains(&id) {
                    continue;
                }
                self.printed.push(event["message"].as_str().unwrap().to_owned());
                if at > self.start {
                    (self.start, newest) = (at, Vec::new());
                }
                newest.push(id);
            }
            token = page["nextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        self.seen.extend(newest);
    }
}

#[tokio::test]
async fn a_followed_group_shows_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(MemoryStore::new(), folder.path());
    stream(&world).await;
    let mut tail = Tail { start: NOW - 2_000_000, seen: Vec::new(), printed: Vec::new() };
    tail.turn(&world).await;
    put(&world, "s", 0, 11).await;
    tail.turn(&world).await;
    tail.turn(&world).await;
    // One more of the newest time, and a stream that was not there before.
    put(&world, "s", 11, 1).await;
    let other = json!({"logGroupName": "/g", "logStreamName": "new"});
    world.logs("CreateLogStream", other).await;
    put(&world, "new", 12, 2).await;
    tail.turn(&world).await;
    tail.turn(&world).await;
    let expected: Vec<String> = (0..14).map(|number| format!("line {number}")).collect();
    assert_eq!(tail.printed, expected);
}

#[tokio::test]
async fn patterns_of_all_kinds_filter() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(MemoryStore::new(), folder.path());
    stream(&world).await;
    let texts = [
        r#"{"level": "error", "status": 503}"#,
        r#"{"level": "info", "status": 200}"#,
        "127.0.0.1 - frank 404 12",
        "plain ERROR E4001",
    ];
    let event = |(n, text): (i64, &&str)| json!({"timestamp": NOW - 1000 + n, "message": text});
    let events: Vec<Value> = (0..).zip(&texts).map(event).collect();
    let input = json!({"logGroupName": "/g", "logStreamName": "s", "logEvents": events});
    world.logs("PutLogEvents", input).await;
    for (pattern, expected) in [
        ("{ $.status >= 500 }", &[0][..]),
        ("{ $.level = %info|error% && $.status < 300 }", &[1]),
        ("[ip, , user, status = 4*, bytes]", &[2]),
        ("%E4[0-9]{3}%", &[3]),
        ("?503 ?ERROR", &[0, 3]),
    ] {
        let input = json!({"logGroupName": "/g", "filterPattern": pattern});
        let page = world.logs("FilterLogEvents", input).await;
        let found: Vec<&str> = page["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["message"].as_str().unwrap())
            .collect();
        let expected: Vec<&str> = expected.iter().map(|at| texts[*at]).collect();
        assert_eq!(found, expected, "{pattern}");
    }
    let input = json!({
        "filterPattern": "[ip, id, user, status, bytes > 10]", "logEventMessages": [texts[3], texts[2]],
    });
    let answer = world.logs("TestMetricFilter", input).await;
    let values = json!({
        "$ip": "127.0.0.1", "$id": "-", "$user": "frank", "$status": "404", "$bytes": "12",
    });
    let expected = json!([{"eventNumber": 2, "eventMessage": texts[2], "extractedValues": values}]);
    assert_eq!(answer["matches"], expected);
}
