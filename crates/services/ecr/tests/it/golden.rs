//! Calls as boto3 and the `aws` CLI make them, and the answers that they must get.
//!
//! In `golden/<name>.txt`, a line `> Operation {…}` is a call; the line below it is status and answer.
//! A line `> PUSH name:tag text` pushes an image whose layer is the text, and answers with its
//! digest. `UPDATE_GOLDEN=1` writes the answers anew.

use super::world::World;

async fn play(name: &str) {
    let world = World::open().await;
    let path = format!("{}/tests/it/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    stage::play(path.as_ref(), async |call| {
        let (operation, input) = call.split_once(' ').unwrap_or((call, "{}"));
        if operation == "PUSH" {
            let (image, layer) = input.split_once(' ').unwrap();
            let (name, tag) = image.split_once(':').unwrap();
            return world.image(name, Some(tag), layer.as_bytes()).await;
        }
        let (status, answer) = world.ask(operation, input).await;
        // A password and a link are different with each build of the seal.
        let hide = |text: String, from: &str, to: char| match text.split_once(from) {
            Some((before, after)) => {
                let rest = after.split_once(to).map_or("", |(_, rest)| rest);
                format!("{before}{from}…{to}{rest}")
            }
            None => text,
        };
        let answer = hide(answer, "\"authorizationToken\":\"", '"');
        format!("{status} {}", hide(answer, "X-Longshore-Download=", '"'))
    })
    .await;
}

#[tokio::test]
async fn repositories() {
    play("repositories").await;
}

#[tokio::test]
async fn images() {
    play("images").await;
}

#[tokio::test]
async fn layers() {
    play("layers").await;
}

#[tokio::test]
async fn policies() {
    play("policies").await;
}

#[tokio::test]
async fn settings() {
    play("settings").await;
}

#[tokio::test]
async fn upstreams() {
    play("upstreams").await;
}
