//! Calls as boto3 and the `aws` CLI make them, and the answers that they must get.
//!
//! In `golden/<name>.txt`, a line `> Operation {…}` is a call; the two lines below it are status
//! and answer. `UPDATE_GOLDEN=1` writes the answers anew.

use std::path::Path;

use super::world::World;

async fn play(name: &str) {
    let world = World::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    stage::play(&path, async |call| {
        let (operation, input) = call.split_once(' ').unwrap_or((call, "{}"));
        let (status, answer) = world.ask(operation, input).await;
        format!("{status} {answer}")
    })
    .await;
}

#[tokio::test]
async fn rules() {
    play("rules").await;
}

#[tokio::test]
async fn targets() {
    play("targets").await;
}

#[tokio::test]
async fn buses() {
    play("buses").await;
}

#[tokio::test]
async fn put_events() {
    play("put_events").await;
}

#[tokio::test]
async fn patterns() {
    play("patterns").await;
}
