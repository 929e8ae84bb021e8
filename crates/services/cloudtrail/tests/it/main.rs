//! A trail beside an edge: what is called is found again, by who asks as CloudTrail's clients do.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use cloudtrail::{Filter, Place, Trail, TrailError, verify};
use http::Request;
use serde_json::{Value, json};
use stage::{CountedIds, HeldClock};
use tempfile::TempDir;
use terms::{Clock, Region, Timestamp};
use tokio_util::sync::CancellationToken;
use wire::sigv4::{Credentials, Signer, sign};
use wire::{
    Action, Authenticator, Body, Caller, CallerKind, CredentialLookup, Decided, Denied, Edge,
    Secret,
};

const TARGET: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";

/// Ada may look; Bob may not, by a statement.
struct Two;

impl Authenticator for Two {
    fn find(&self, key: &str, _: Option<&str>, region: &Region, _: Timestamp) -> CredentialLookup {
        let name = match key {
            "AKIAADA" => "ada",
            "AKIABOB" => "bob",
            _ => return CredentialLookup::Unknown,
        };
        let caller = Caller {
            account: "000000000000".parse().unwrap(),
            region: region.clone(),
            arn: format!("arn:aws:iam::000000000000:user/{name}"),
            user_id: format!("AIDA{name}"),
            access_key_id: key.to_owned(),
            kind: CallerKind::User(format!("AIDA{name}")),
        };
        CredentialLookup::Found { secret: Secret::new("secret"), caller: Arc::new(caller) }
    }

    fn may(&self, _: &Caller, _: Action<'_>) -> bool {
        true
    }

    fn authorize(&self, context: &wire::Context, _: &dyn Fn() -> Value) -> Result<Decided, Denied> {
        let resources = vec!["*".to_owned()];
        if context.caller.arn.ends_with("/ada") {
            let by = Some("reading#1".to_owned());
            return Ok(Decided { by, resources, refusal: None });
        }
        let refusal = Some(Box::new(json!({ "explicitDeny": true })));
        let by = Some("never#Deny".to_owned());
        let decided = Decided { by, resources, refusal };
        Err(Denied { decided, ..Denied::new("User: bob is not authorized") })
    }
}

struct World {
    edge: Edge,
    trail: Trail,
    clock: HeldClock,
    folder: TempDir,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

fn world() -> World {
    let folder = TempDir::new().unwrap();
    let clock = HeldClock::at(Timestamp::from_millis(1_700_000_000_000));
    let trail = Trail::open(folder.path().join("audit"), Arc::new(clock.clone())).unwrap();
    let ids = Arc::new(CountedIds::default());
    let edge = Edge::builder(Arc::new(Two), Arc::new(clock.clone()), ids)
        .service(trail.service())
        .auditor(Arc::new(trail.clone()))
        .build();
    let stop = CancellationToken::new();
    let running = tokio::spawn(trail.clone().run(stop.clone()));
    World { edge, trail, clock, folder, stop, running }
}

impl World {
    async fn ask(&self, key: &str, input: &Value) -> (u16, Value) {
        let body = input.to_string();
        let request = Request::post("http://plane.test/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("user-agent", "a client")
            .header("x-amz-target", TARGET);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let secret = Secret::new("secret");
        let credentials =
            Credentials { access_key_id: key.to_owned(), secret, session_token: None };
        let now = self.clock.now();
        let signer =
            Signer { credentials: &credentials, region: "us-east-1", service: "cloudtrail", now };
        sign(&mut parts, body.as_bytes(), &signer);
        let source = Some("192.0.2.7:4000".parse().unwrap());
        let request = Request::from_parts(parts, Body::from(body));
        let answer = self.edge.handle(request, source).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect(1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Waits until this many calls are written.
    async fn written(&self, calls: usize) {
        loop {
            let filter = Filter { only_calls: true, ..Filter::default() };
            let (found, _) = self.trail.look(filter, Place::After(0), 1000).await.unwrap();
            if found.len() >= calls {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) -> TempDir {
        self.stop.cancel();
        self.running.await.unwrap();
        self.folder
    }
}

fn names(answer: &Value) -> Vec<String> {
    let events = answer["Events"].as_array().unwrap().iter();
    events.map(|event| event["Username"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_called_is_found_again() {
    let world = world();
    assert_eq!(world.ask("AKIAADA", &json!({})).await.0, 200);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.ask("AKIABOB", &json!({})).await.0, 400);
    assert_eq!(world.ask("AKIANONE", &json!({})).await.0, 400);
    world.written(3).await;
    let (_, told) = world.ask("AKIAADA", &json!({})).await;
    assert_eq!(names(&told), ["bob", "ada"], "the newest first; strangers are of no account");
    let event: Value =
        serde_json::from_str(told["Events"][0]["CloudTrailEvent"].as_str().unwrap()).unwrap();
    assert_eq!(event["userIdentity"]["arn"], "arn:aws:iam::000000000000:user/bob");
    assert_eq!(event["sourceIPAddress"], "192.0.2.7");
    assert_eq!((&event["eventName"], &event["readOnly"]), (&json!("LookupEvents"), &json!(true)));
    assert_eq!(event["eventTime"], "2023-11-14T22:14:20Z");
    assert_eq!(event["errorCode"], "AccessDeniedException");
    assert_eq!(event["additionalEventData"]["decision"], "explicitDeny");
    assert_eq!(event["additionalEventData"]["decidedBy"], "never#Deny");
    assert_eq!(event["userAgent"], "a client");
    assert_eq!(told["Events"][0]["ReadOnly"], "true");
    let by = |key: &str, value: &str| json!({ "LookupAttributes": [{ "AttributeKey": key, "AttributeValue": value }] });
    world.written(4).await;
    let (_, of_ada) = world.ask("AKIAADA", &by("Username", "ada")).await;
    assert_eq!(names(&of_ada), ["ada", "ada"]);
    let (_, by_key) = world.ask("AKIAADA", &by("AccessKeyId", "AKIABOB")).await;
    assert_eq!(names(&by_key), ["bob"]);
    let (_, none) = world.ask("AKIAADA", &by("EventName", "RunTask")).await;
    assert_eq!(names(&none), [""; 0]);
    let (_, early) = world.ask("AKIAADA", &json!({ "EndTime": 1_700_000_000 })).await;
    assert_eq!(names(&early), ["ada"]);
    let pages = json!({ "MaxResults": 1, "EndTime": 1_700_000_100 });
    let (_, first) = world.ask("AKIAADA", &pages).await;
    let mut next = pages.clone();
    next["NextToken"] = first["NextToken"].clone();
    let (_, second) = world.ask("AKIAADA", &next).await;
    assert_ne!(first["Events"][0]["EventId"], second["Events"][0]["EventId"]);
    let strange = json!({ "NextToken": first["NextToken"] });
    for (wrong, code) in [
        (strange, "InvalidNextTokenException"),
        (json!({ "NextToken": "x" }), "InvalidNextTokenException"),
        (json!({ "StartTime": 2, "EndTime": 1 }), "InvalidTimeRangeException"),
        (by("ReadOnly", "maybe"), "InvalidLookupAttributesException"),
        (json!({ "EventCategory": "insight" }), "NotImplementedException"),
    ] {
        let (_, told) = world.ask("AKIAADA", &wrong).await;
        assert_eq!(told["__type"].as_str().unwrap().rsplit('#').next(), Some(code), "{wrong}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_line_that_is_changed_or_gone_is_found() {
    let world = world();
    for _ in 0..5 {
        world.ask("AKIAADA", &json!({})).await;
    }
    world.written(5).await;
    let (verified, _) = world.trail.verify(None).await.unwrap();
    let (_, is_there) = world.trail.verify(Some(verified.hash.clone())).await.unwrap();
    let (_, is_strange) = world.trail.verify(Some("00".repeat(16))).await.unwrap();
    assert!(is_there && !is_strange);
    let folder = world.end().await;
    let folder = folder.path().join("audit");
    let whole = verify(&folder).unwrap();
    assert_eq!((whole.lines, whole.first), (6, 1), "the beginning, and five calls");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let check = |changed: String, line: usize| {
        std::fs::write(&file, changed).unwrap();
        match verify(&folder) {
            Err(TrailError::Broken { line: found, .. }) => assert_eq!(found, line),
            other => panic!("{other:?}"),
        }
    };
    check(text.replacen("a client", "another", 1), 3);
    check([&lines[..3], &lines[4..]].concat().concat(), 4);
    check([&lines[..4], &lines[3..]].concat().concat(), 5);
    // What is cut off at the end shows against what was noted.
    std::fs::write(&file, lines[..4].concat()).unwrap();
    let short = verify(&folder).unwrap();
    assert!(short.lines == 3 && short.hash != whole.hash);
}

#[tokio::test]
async fn a_trail_goes_on_where_it_was() {
    let world = world();
    world.ask("AKIAADA", &json!({})).await;
    let clock = world.clock.clone();
    let folder = world.end().await;
    let path = folder.path().join("audit");
    let trail = Trail::open(path.clone(), Arc::new(clock)).unwrap();
    let (found, _) = trail.look(Filter::default(), Place::Before(u64::MAX), 1).await.unwrap();
    assert_eq!(found[0].number, 3);
    assert_eq!(found[0].event["eventName"], "BeginTrail");
    assert_eq!(found[0].event["additionalEventData"]["continuesAfter"], 2);
    assert_eq!(verify(&path).unwrap().lines, 3);
}
