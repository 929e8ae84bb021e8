//! Calls as boto3 and the `aws` CLI make them, and the answers that they must get.
//!
//! In `golden/<name>.txt`, a line `> Target.Operation {…}` is a call; the line below it is status
//! and answer. `UPDATE_GOLDEN=1` writes the answers anew.

use std::path::Path;

use ledger::MemoryStore;

use super::world::World;

async fn play(name: &str) {
    let world = World::on(MemoryStore::new());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    stage::play(&path, async |call| {
        let (operation, input) = call.split_once(' ').unwrap_or((call, "{}"));
        let (status, answer) = world.ask(operation, input).await;
        format!("{status} {answer}")
    })
    .await;
}

#[tokio::test]
async fn parameters() {
    play("parameters").await;
}

#[tokio::test]
async fn secrets() {
    play("secrets").await;
}
