//! Rules that run on schedules, also when another server takes over.

use ledger::MemoryStore;
use serde_json::{Value, json};

use super::world::World;

const GROUP: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/events/mine";

async fn every_minute(world: &World) {
    world.done("PutRule", json!({"Name": "r", "ScheduleExpression": "rate(1 minute)"})).await;
    let target = json!({"Id": "t", "Arn": GROUP});
    world.done("PutTargets", json!({"Rule": "r", "Targets": [target]})).await;
}

fn times(world: &World) -> Vec<String> {
    let time = |payload: &String| {
        let event: Value = serde_json::from_str(payload).unwrap();
        assert_eq!(event["detail-type"], "Scheduled Event");
        assert_eq!(event["resources"][0], "arn:aws:events:us-east-1:123456789012:rule/r");
        event["time"].as_str().unwrap().to_owned()
    };
    world.inbox.payloads().iter().map(time).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rule_runs_each_minute() {
    let world = World::new();
    let running = world.run();
    every_minute(&world).await;
    world.pass_time_until(|world| world.inbox.payloads().len() >= 3).await;
    assert_eq!(
        times(&world)[..3],
        ["2026-01-02T03:05:05Z", "2026-01-02T03:06:05Z", "2026-01-02T03:07:05Z"]
    );
    running.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_run_is_made_once_by_who_takes_over() {
    let store = MemoryStore::new();
    let world = World::on(store.clone(), World::new().clock);
    every_minute(&world).await;
    // Nobody leads for three minutes and a half: of the missed runs the last one is made.
    world.clock.advance(std::time::Duration::from_secs(210));
    let world = World::on(store, world.clock.clone());
    let running = world.run();
    world.pass_time_until(|world| world.inbox.payloads().len() >= 2).await;
    assert_eq!(times(&world)[..2], ["2026-01-02T03:07:05Z", "2026-01-02T03:08:05Z"]);
    running.cancel();
}
