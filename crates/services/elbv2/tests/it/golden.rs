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
async fn load_balancers() {
    play(&World::new(), "load_balancers").await;
}

#[tokio::test]
async fn target_groups() {
    play(&World::new(), "target_groups").await;
}

#[tokio::test]
async fn listeners_and_rules() {
    play(&World::new(), "listeners_and_rules").await;
}

#[tokio::test]
async fn refusals() {
    play(&World::new(), "refusals").await;
}

#[tokio::test]
async fn secure_listeners() {
    let world = World::new();
    world.certificate("shop.example.com").await;
    world.certificate("more.example.com").await;
    play(&world, "secure_listeners").await;
    let named = r#"{"CertificateArn":"$CERT1"}"#;
    let (status, told) = world.ask_acm("DeleteCertificate", named).await;
    assert!(status == 400 && told.contains("ResourceInUseException"), "{told}");
    let (_, told) = world.ask_acm("DescribeCertificate", named).await;
    assert!(told.contains("loadbalancer/app/web/"), "{told}");
    let named = r#"{"CertificateArn":"$CERT2"}"#;
    assert_eq!(world.ask_acm("DeleteCertificate", named).await.0, 200);
}

#[tokio::test]
async fn network_load_balancers() {
    play(&World::new(), "network").await;
}
