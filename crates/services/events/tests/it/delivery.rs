//! Events on their way: to targets, again, to the list of dead letters, over a restart.

use events::{Failure, Scope};
use ledger::MemoryStore;
use serde_json::{Value, json};

use super::world::World;

const GROUP: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/events/mine";

async fn rule(world: &World, target: Value) {
    let pattern = json!({"source": ["mine"], "detail": {"n": [{"numeric": [">", 0]}]}});
    world.done("PutRule", json!({"Name": "r", "EventPattern": pattern.to_string()})).await;
    let put = world.done("PutTargets", json!({"Rule": "r", "Targets": [target]})).await;
    assert_eq!(put["FailedEntryCount"], 0, "{put}");
}

async fn put(world: &World, n: i64) -> Value {
    let detail = json!({"n": n}).to_string();
    let entry = json!({"Source": "mine", "DetailType": "t", "Detail": detail});
    world.done("PutEvents", json!({"Entries": [entry]})).await
}

/// Waits until nothing is on its way.
async fn settled(world: &World) {
    let mut feed = world.ledger.subscribe();
    while world.events.waiting() > 0 {
        let _ = feed.next().await;
    }
}

#[tokio::test]
async fn what_matches_arrives_in_order_and_nothing_else_is_written() {
    let world = World::new();
    let running = world.run();
    rule(&world, json!({"Id": "t", "Arn": GROUP, "InputPath": "$.detail.n"})).await;
    let before = world.ledger.snapshot().revision();
    put(&world, 0).await;
    assert_eq!(world.ledger.snapshot().revision(), before, "no rule took it");
    for n in 1..=20 {
        put(&world, n).await;
    }
    world.inbox.seen(20).await;
    let wanted: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    assert_eq!(world.inbox.payloads(), wanted);
    settled(&world).await;
    running.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_is_asked_again() {
    let world = World::new();
    let running = world.run();
    rule(&world, json!({"Id": "t", "Arn": GROUP, "Input": "\"x\""})).await;
    let refusals = ["a", "b"].map(|code| Failure::passing(code, "not now"));
    world.inbox.refusals.lock().extend(refusals);
    put(&world, 1).await;
    world.inbox.seen(1).await;
    assert!(world.inbox.payloads().is_empty());
    world.pass_time_until(|world| !world.inbox.payloads().is_empty()).await;
    assert_eq!(world.inbox.payloads(), ["\"x\""]);
    running.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_no_try_helps_is_kept_as_a_dead_letter() {
    let world = World::new();
    let running = world.run();
    let policy = json!({"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60});
    rule(&world, json!({"Id": "t", "Arn": GROUP, "RetryPolicy": policy})).await;
    let passing = || Failure::passing("Busy", "later");
    world.inbox.refusals.lock().extend([passing(), passing()]);
    put(&world, 1).await;
    world.pass_time_until(|world| !world.letters().is_empty()).await;
    let letters = world.letters();
    assert_eq!(letters[0].error_code, "Busy");
    assert_eq!(letters[0].exhausted.as_deref(), Some("MaximumRetryAttempts"));
    assert_eq!(letters[0].delivery.attempts, 2);
    // What will not pass is not tried again.
    world.inbox.refusals.lock().push_back(Failure::lasting("ResourceNotFoundException", "gone"));
    put(&world, 2).await;
    world.pass_time_until(|world| world.letters().len() == 2).await;
    assert_eq!(world.letters()[1].exhausted, None);
    assert_eq!(world.letters()[1].delivery.attempts, 1);
    running.cancel();
}

#[tokio::test]
async fn a_delivery_survives_a_restart() {
    let store = MemoryStore::new();
    let world = World::on(store.clone(), World::new().clock);
    rule(&world, json!({"Id": "t", "Arn": GROUP, "InputPath": "$.detail.n"})).await;
    put(&world, 7).await;
    // Nobody delivered; another server takes over.
    let world = World::on(store, world.clock.clone());
    let running = world.run();
    world.inbox.seen(1).await;
    assert_eq!(world.inbox.payloads(), ["7"]);
    running.cancel();
}

impl World {
    /// The dead letters.
    pub fn letters(&self) -> Vec<events::DeadLetter> {
        let (account, region) = ("123456789012".parse().unwrap(), "us-east-1".parse().unwrap());
        self.events.dead_letters(&Scope { account, region })
    }

    /// Moves the clock and the timers until `done`.
    pub async fn pass_time_until(&self, done: impl Fn(&Self) -> bool) {
        use std::time::Duration;
        for _ in 0..10_000 {
            if done(self) {
                return;
            }
            self.clock.advance(Duration::from_millis(250));
            tokio::time::advance(std::time::Duration::from_millis(250)).await;
            tokio::task::yield_now().await;
        }
        panic!("it did not come to be");
    }
}
