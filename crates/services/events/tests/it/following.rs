//! What other services commit, told to the rules of the default bus.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use ledger::MemoryStore;
use serde_json::{Value, json};

use super::world::{Thing, World};

const GROUP: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/events/mine";

async fn rule(world: &World, name: &str, pattern: Value) {
    world.done("PutRule", json!({"Name": name, "EventPattern": pattern.to_string()})).await;
    let target = json!({"Id": "t", "Arn": GROUP, "InputPath": "$.detail.n"});
    world.done("PutTargets", json!({"Rule": name, "Targets": [target]})).await;
}

async fn change(world: &World, name: &str, n: u32) {
    let done = world.ledger.transact("change a thing", |tx| {
        tx.put(&world.things.table, name.to_owned(), Thing { n });
        Ok::<_, Infallible>(())
    });
    done.await.unwrap();
}

#[tokio::test]
async fn what_no_rule_can_take_is_not_even_written_out() {
    let world = World::new();
    let running = world.run();
    rule(&world, "others", json!({"source": ["aws.other", "aws.ecs"]})).await;
    rule(&world, "types", json!({"source": ["aws.things"], "detail-type": ["Another"]})).await;
    for n in 0..5 {
        change(&world, "a", n).await;
    }
    // Commits are followed in their order: with this one, those before it were looked at.
    rule(&world, "markers", json!({"source": ["aws.things"], "detail-type": ["Marker"]})).await;
    change(&world, "marker", 7).await;
    world.inbox.seen(1).await;
    assert_eq!(world.inbox.payloads(), ["7"]);
    assert_eq!(world.things.written_out.load(Ordering::SeqCst), 1);
    running.cancel();
}

#[tokio::test]
async fn after_a_crash_the_newest_state_is_told_to_rules_that_were_there() {
    let store = MemoryStore::new();
    let world = World::on(store.clone(), World::new().clock);
    change(&world, "before", 1).await;
    rule(&world, "all", json!({"source": [{"prefix": "aws."}]})).await;
    for n in 2..5 {
        change(&world, "after", n).await;
    }
    // Nobody followed; another server takes over.
    let world = World::on(store, world.clock.clone());
    let running = world.run();
    world.inbox.seen(1).await;
    change(&world, "after", 9).await;
    world.inbox.seen(2).await;
    assert_eq!(world.inbox.payloads(), ["4", "9"]);
    running.cancel();
}

#[tokio::test]
async fn after_a_crash_a_rule_that_was_rewritten_gets_what_came_before_that() {
    let store = MemoryStore::new();
    let world = World::on(store.clone(), World::new().clock);
    change(&world, "before", 1).await;
    rule(&world, "all", json!({"source": [{"prefix": "aws."}]})).await;
    change(&world, "after", 2).await;
    // The rule is the one that it was, with other words and another target.
    rule(&world, "all", json!({"source": ["aws.things"]})).await;
    change(&world, "later", 3).await;
    let world = World::on(store, world.clock.clone());
    let running = world.run();
    world.inbox.seen(2).await;
    change(&world, "last", 4).await;
    world.inbox.seen(3).await;
    assert_eq!(world.inbox.payloads(), ["2", "3", "4"]);
    running.cancel();
}
