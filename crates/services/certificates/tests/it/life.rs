//! What lies in the store, who uses certificates, and what time does to them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::{MemoryStore, Store};
use serde_json::json;
use terms::Clock;
use tokio_util::sync::CancellationToken;

use super::world::{World, signed};

#[tokio::test]
async fn no_key_is_readable_in_the_store() {
    let store = MemoryStore::new();
    let world = World::on(store.clone());
    let (pem, key) = signed(&["a.example.com".to_owned()], world.clock.now(), 90);
    let input = json!({"Certificate": STANDARD.encode(&pem), "PrivateKey": STANDARD.encode(&key)});
    world.get("ImportCertificate", input).await;
    world.get("RequestCertificate", json!({"DomainName": "b.example.com"})).await;
    let secret = key.lines().nth(1).unwrap();
    let (mut rows, mut found) = (0, false);
    let mut copy = store.clone();
    copy.load(&mut |row| {
        rows += 1;
        let body = String::from_utf8_lossy(row.body).into_owned();
        assert!(!body.contains("PRIVATE KEY") && !body.contains(secret), "{body}");
        found |= body.contains("a.example.com");
        Ok(())
    })
    .unwrap();
    assert!(found && rows >= 4, "{rows} rows");
}

#[tokio::test]
async fn what_serves_is_not_deleted() {
    let world = World::on(MemoryStore::new());
    let made = world.get("RequestCertificate", json!({"DomainName": "a.example.com"})).await;
    let arn = made["CertificateArn"].as_str().unwrap().to_owned();
    world.serving.0.lock().unwrap().insert(arn.clone(), "arn:of:a:load-balancer".to_owned());
    let named = json!({"CertificateArn": arn});
    let told = world.get("DescribeCertificate", named.clone()).await;
    assert_eq!(told["Certificate"]["InUseBy"], json!(["arn:of:a:load-balancer"]));
    let (status, told) = world.ask("DeleteCertificate", &named.to_string()).await;
    assert!(status == 400 && told.contains("ResourceInUseException"), "{told}");
    world.serving.0.lock().unwrap().clear();
    world.get("DeleteCertificate", named.clone()).await;
    let (status, _) = world.ask("DescribeCertificate", &named.to_string()).await;
    assert_eq!(status, 400);
}

#[tokio::test(start_paused = true)]
async fn what_was_issued_is_renewed_in_place() {
    let world = World::on(MemoryStore::new());
    let now = world.clock.now();
    let (pem, key) = signed(&["a.example.com".to_owned()], now, 365);
    let input = json!({"Certificate": STANDARD.encode(&pem), "PrivateKey": STANDARD.encode(&key)});
    world.get("ImportCertificate", input).await;
    world.get("RequestCertificate", json!({"DomainName": "b.example.com"})).await;
    let ends = async || {
        let told = world.get("ListCertificates", json!({})).await;
        let all = told["CertificateSummaryList"].as_array().unwrap().clone();
        let end = |name: &str| {
            let one = all.iter().find(|one| one["DomainName"] == name).unwrap();
            one["NotAfter"].as_f64().unwrap()
        };
        (end("a.example.com"), end("b.example.com"))
    };
    let before = ends().await;
    world.wait_days(310);
    let end = CancellationToken::new();
    let renewing = async {
        while ends().await.1 == before.1 {
            tokio::task::yield_now().await;
        }
        end.cancel();
    };
    tokio::join!(world.certificates.run(end.clone()), renewing);
    let after = ends().await;
    assert_eq!(after.0, before.0, "what was imported is left alone");
    assert_eq!(after.1, before.1 + 310.0 * 86_400.0);
}
