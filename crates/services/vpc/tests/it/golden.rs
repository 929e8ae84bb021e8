//! Forms as boto3 and the `aws` CLI send them, and the answers that they must get.
//!
//! In `golden/<name>.txt`, a line `> form` is a request; the lines below it, up to an empty one, are
//! the answer, an element a line. `UPDATE_GOLDEN=1` writes the answers anew. Request ids are masked.

use std::fmt::Write;
use std::path::Path;

use super::world::World;

/// The document with each element on a line of its own.
fn lines(document: &str) -> String {
    let document = document.replace("><", ">\n<");
    let (mut out, mut depth) = (String::new(), 0_usize);
    for line in document.lines().filter(|line| !line.is_empty()) {
        let is_end = line.starts_with("</");
        if is_end {
            depth -= 1;
        }
        let shown = match line.to_lowercase().starts_with("<requestid>") {
            true => "<!-- request id -->",
            false => line,
        };
        let _ = writeln!(out, "{}{shown}", "  ".repeat(depth));
        let is_whole = line.contains("</") || line.starts_with("<?");
        if !is_end && !is_whole {
            depth += 1;
        }
    }
    out
}

async fn play(world: &World, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    stage::play(&path, async |form| {
        let (status, answer) = world.ask(form).await;
        format!("{status}\n{}", lines(&answer))
    })
    .await;
}

#[tokio::test]
async fn networks() {
    play(&World::new(0), "networks").await;
}

#[tokio::test]
async fn interfaces() {
    let world = World::new(0);
    let subnets = world.all_subnets().await;
    for (number, index) in [0, 0, 1, 1, 1, 2, 2].into_iter().enumerate() {
        world.attach(&subnets[index], &format!("the one numbered {number}")).await.unwrap();
    }
    play(&world, "interfaces").await;
}
