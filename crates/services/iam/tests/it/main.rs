//! Keys, joining and sessions over a ledger in memory.
#![allow(clippy::unwrap_used)]

mod authorization;
mod entities;
mod plane;
mod resources;
mod sessions;
mod sts;
mod web_identity;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iam::{Iam, IamError, SESSION_LIFE, SessionRequest, Tables, TokenTerms};
use ledger::{Ledger, MemoryStore, Schema};
use stage::{CountedIds, HeldClock};
use terms::{Clock, Region, Timestamp};
use wire::{Authenticator, CallerKind, CredentialLookup};

struct World {
    iam: Iam,
    clock: HeldClock,
    ids: Arc<CountedIds>,
    region: Region,
}

async fn world() -> World {
    let (clock, ids) = (HeldClock::at(Timestamp::from_millis(0)), Arc::new(CountedIds::default()));
    let mut schema = Schema::new();
    let tables = Tables::new(&mut schema);
    let store = Box::new(MemoryStore::new());
    let ledger = Ledger::open(schema, store, Arc::new(clock.clone()), ids.clone()).unwrap();
    let iam = Iam::open(ledger, tables, "000000000000".parse().unwrap()).await.unwrap();
    World { iam, clock, ids, region: "eu-west-1".parse().unwrap() }
}

impl World {
    fn find(&self, key: &str, token: Option<&str>) -> CredentialLookup {
        self.iam.find(key, token, &self.region, self.clock.now())
    }
}

#[tokio::test]
async fn the_administrator_has_one_key() {
    let world = world().await;
    let key = world.iam.administrator().await.unwrap().unwrap();
    assert_eq!(key.access_key_id.len(), 20);
    assert_eq!(key.secret.expose().len(), 40);
    assert_eq!(world.iam.administrator().await.unwrap(), Some(key.clone()));
    let CredentialLookup::Found { secret, caller } = world.find(&key.access_key_id, None) else {
        panic!("the key is known");
    };
    assert_eq!(secret, key.secret);
    assert_eq!(caller.arn, "arn:aws:iam::000000000000:user/administrator");
    assert_eq!((&caller.region, &caller.kind), (&world.region, &CallerKind::Operator));
}

#[tokio::test]
async fn what_is_no_key_is_told_apart() {
    let world = world().await;
    let key = world.iam.administrator().await.unwrap().unwrap();
    assert!(matches!(world.find("AKIANONE", None), CredentialLookup::Unknown));
    let with_token = world.find(&key.access_key_id, Some("x"));
    assert!(matches!(with_token, CredentialLookup::TokenMismatch));
    assert!(matches!(world.find("ASIANONE", None), CredentialLookup::TokenMismatch));
    assert!(matches!(world.find("ASIANONE", Some("é")), CredentialLookup::TokenMismatch));
}

fn minute(uses: Option<u32>, name: Option<&str>) -> TokenTerms {
    TokenTerms { life: Duration::from_secs(60), uses, name: name.map(str::to_owned) }
}

#[tokio::test]
async fn an_instance_joins_with_a_token_until_it_expires() {
    let world = world().await;
    let (token, expires_at) = world.iam.create_join_token(minute(None, None)).await.unwrap();
    let key = world.iam.join(&token, "node-1").await.unwrap();
    let CredentialLookup::Found { caller, .. } = world.find(&key.access_key_id, None) else {
        panic!("the new key is known");
    };
    assert_eq!(caller.kind, CallerKind::Node { name: "node-1".into() });

    let unknown = world.iam.join("0000", "node-1").await.unwrap_err();
    assert!(matches!(unknown, IamError::UnknownToken));
    let name = world.iam.join(&token, "a b").await.unwrap_err();
    assert!(matches!(name, IamError::NodeName(_)));
    world.clock.set(expires_at);
    let late = world.iam.join(&token, "node-2").await.unwrap_err();
    assert!(matches!(late, IamError::ExpiredToken { .. }));
    assert!(world.iam.join_tokens().is_empty());

    let much_later = expires_at + Duration::from_secs(8 * 24 * 3600);
    world.clock.set(much_later);
    world.iam.create_join_token(minute(None, None)).await.unwrap();
    let forgotten = world.iam.join(&token, "node-2").await.unwrap_err();
    assert!(matches!(forgotten, IamError::UnknownToken));
}

#[tokio::test]
async fn only_a_token_for_its_name_takes_an_instances_place() {
    let world = world().await;
    let (any, _) = world.iam.create_join_token(minute(None, None)).await.unwrap();
    let first = world.iam.join(&any, "node-1").await.unwrap();
    let taken = world.iam.join(&any, "node-1").await.unwrap_err();
    assert!(matches!(taken, IamError::NameTaken(_)));
    let (named, _) = world.iam.create_join_token(minute(None, Some("node-1"))).await.unwrap();
    let other = world.iam.join(&named, "node-2").await.unwrap_err();
    assert!(matches!(other, IamError::TokenOfOther(_)));
    let second = world.iam.join(&named, "node-1").await.unwrap();
    assert!(matches!(world.find(&first.access_key_id, None), CredentialLookup::Inactive));
    assert!(matches!(world.find(&second.access_key_id, None), CredentialLookup::Found { .. }));
}

#[tokio::test]
async fn tokens_are_counted_listed_and_withdrawn() {
    let world = world().await;
    let (once, _) = world.iam.create_join_token(minute(Some(1), None)).await.unwrap();
    let (open, expires_at) = world.iam.create_join_token(minute(None, None)).await.unwrap();
    assert_eq!(world.iam.join_tokens().len(), 2);
    world.iam.join(&once, "node-1").await.unwrap();
    let used = world.iam.join(&once, "node-2").await.unwrap_err();
    assert!(matches!(used, IamError::UsedToken));
    let listed = world.iam.join_tokens();
    let [left] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((left.expires_at, left.uses_left), (expires_at, None));
    assert!(!open.contains(&left.id), "the id tells nothing of the token");
    for wrong in ["", "zzz"] {
        let none = world.iam.revoke_join_token(wrong).await.unwrap_err();
        assert!(matches!(none, IamError::NoSuchToken(_)));
    }
    world.iam.revoke_join_token(&left.id).await.unwrap();
    let withdrawn = world.iam.join(&open, "node-2").await.unwrap_err();
    assert!(matches!(withdrawn, IamError::UnknownToken));
}

#[tokio::test]
async fn a_session_is_its_task_until_it_expires() {
    let world = world().await;
    let task = "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
    let task = task.parse().unwrap();
    let request = SessionRequest {
        role_arn: "arn:aws:iam::000000000000:role/team/app",
        task: &task,
        is_execution: false,
    };
    let session = world.iam.sessions().assume(&request, &*world.ids, world.clock.now());
    let (key, token) = (session.access_key_id.as_str(), session.session_token.as_str());
    let CredentialLookup::Found { secret, caller } = world.find(key, Some(token)) else {
        panic!("the session is known");
    };
    assert_eq!(secret, session.secret);
    let id = task.id;
    assert_eq!(caller.arn, format!("arn:aws:sts::000000000000:assumed-role/app/{id}"));
    assert!(caller.user_id.starts_with("AROA") && caller.user_id.ends_with(&format!(":{id}")));

    let other = world.iam.sessions().assume(&request, &*world.ids, world.clock.now());
    let swapped = world.find(key, Some(&other.session_token));
    assert!(matches!(swapped, CredentialLookup::TokenMismatch));
    for index in 0..token.len() {
        let mut forged = token.as_bytes().to_vec();
        forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert!(matches!(world.find(key, Some(&forged)), CredentialLookup::TokenMismatch));
    }
    world.clock.advance(SESSION_LIFE);
    assert!(matches!(world.find(key, Some(token)), CredentialLookup::Expired));
}

struct Over(std::sync::atomic::AtomicBool);

impl iam::TaskLife for Over {
    fn is_over(&self, _: &terms::TaskArn) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_session_ends_with_its_task_and_stays_in_its_account() {
    let world = world().await;
    let task = "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
    let task = task.parse().unwrap();
    let request = SessionRequest {
        role_arn: "arn:aws:iam::999999999999:role/admin",
        task: &task,
        is_execution: false,
    };
    let session = world.iam.sessions().assume(&request, &*world.ids, world.clock.now());
    let (key, token) = (session.access_key_id.as_str(), session.session_token.as_str());
    let over = std::sync::Arc::new(Over(false.into()));
    world.iam.sessions().end_with_tasks(over.clone());
    let CredentialLookup::Found { caller, .. } = world.find(key, Some(token)) else {
        panic!("the task runs");
    };
    assert_eq!(caller.account.as_str(), "000000000000", "a role's ARN opens no other account");
    over.0.store(true, Ordering::SeqCst);
    assert!(matches!(world.find(key, Some(token)), CredentialLookup::Expired));
}

#[tokio::test]
async fn each_kind_of_caller_has_its_own_operations() {
    let world = world().await;
    let key = world.iam.administrator().await.unwrap().unwrap();
    let CredentialLookup::Found { caller, .. } = world.find(&key.access_key_id, None) else {
        panic!("the key is known");
    };
    let of = |kind: &CallerKind| wire::Caller { kind: kind.clone(), ..(*caller).clone() };
    let node = CallerKind::Node { name: "a".to_owned() };
    let task = CallerKind::Task { task_arn: "t".to_owned(), is_execution: false };
    let check = |kind: &CallerKind, action: wire::Action<'_>, expected: bool| {
        assert_eq!(world.iam.may(&of(kind), action), expected, "{kind:?} {action}");
    };
    for operation in shapes_of_ecs() {
        let action = wire::Action::Operation("ecs", operation);
        check(&CallerKind::Operator, action, true);
        let reports = operation.starts_with("Submit") || operation == "DiscoverPollEndpoint";
        let is_agents = reports || operation == "RegisterContainerInstance";
        let also = [
            "CreateCluster",
            "DeregisterContainerInstance",
            "ListTagsForResource",
            "UpdateContainerInstancesState",
        ];
        check(&node, action, is_agents || also.contains(&operation));
        check(&task, action, !is_agents);
    }
    check(&node, wire::Action::Operation("ec2", "DescribeSubnets"), false);
    check(&node, wire::Action::Route("/_longshore/certificate"), true);
    for route in ["/_longshore/tokens", "/_longshore/why", "/_longshore/new"] {
        check(&node, wire::Action::Route(route), false);
        check(&task, wire::Action::Route(route), false);
        check(&CallerKind::Operator, wire::Action::Route(route), true);
    }
    check(&task, wire::Action::Route("/acs/ws"), false);
}

/// What ECS has, as far as it matters here.
fn shapes_of_ecs() -> Vec<&'static str> {
    vec![
        "CreateCluster",
        "DeleteCluster",
        "DeregisterContainerInstance",
        "DescribeTasks",
        "DiscoverPollEndpoint",
        "ExecuteCommand",
        "ListTagsForResource",
        "ListTasks",
        "PutAttributes",
        "RegisterContainerInstance",
        "RegisterTaskDefinition",
        "RunTask",
        "StartTask",
        "StopTask",
        "SubmitAttachmentStateChanges",
        "SubmitContainerStateChange",
        "SubmitTaskStateChange",
        "TagResource",
        "UpdateContainerInstancesState",
        "UpdateTaskProtection",
    ]
}
