//! Calls as boto3 and the `aws` CLI make them, and the answers that they must get.
//!
//! In `golden/<name>.txt`, a line `> Operation {…}` is a call; the line below it is status and
//! answer. `UPDATE_GOLDEN=1` writes the answers anew. Serial numbers and PEM texts are masked, for
//! keys are made by chance. `$PEM`, `$KEY`, `$OTHER` and `$OVER` in a call are a certificate, its
//! key, another's key, and a certificate that is over, in base64.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::MemoryStore;
use serde_json::Value;
use stage::HeldClock;
use terms::Clock;

use super::world::{World, signed};

fn masked(answer: &str) -> String {
    let Ok(mut read) = serde_json::from_str::<Value>(answer) else { return answer.to_owned() };
    for (object, member) in
        [("Certificate", "Serial"), ("", "Certificate"), ("", "CertificateChain")]
    {
        let place = match object {
            "" => read.get_mut(member),
            object => read.get_mut(object).and_then(|inner| inner.get_mut(member)),
        };
        if let Some(place) = place.filter(|place| place.is_string()) {
            *place = Value::from("(masked)");
        }
    }
    read.to_string()
}

#[tokio::test]
async fn certificates() {
    let world = World::on(MemoryStore::new());
    let now = HeldClock::default().now();
    let names = ["shop.example.com", "*.shop.example.com"].map(String::from);
    let (pem, key) = signed(&names, now, 90);
    let (_, other) = signed(&names, now, 90);
    let (over, over_key) = signed(&names, now, -1);
    let words = [
        ("$PEM", &pem),
        ("$KEY", &key),
        ("$OTHER", &other),
        ("$OVER_KEY", &over_key),
        ("$OVER", &over),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/certificates.txt");
    stage::play(&path, async |call| {
        let (operation, input) = call.split_once(' ').unwrap_or((call, "{}"));
        let mut input = input.to_owned();
        for (word, text) in words {
            input = input.replace(word, &STANDARD.encode(text));
        }
        let (status, answer) = world.ask(operation, &input).await;
        format!("{status} {}", masked(&answer))
    })
    .await;
}
