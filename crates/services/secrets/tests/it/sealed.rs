//! What lies in the store.

use ledger::{MemoryStore, Store};
use serde_json::json;

use super::world::World;

#[tokio::test]
async fn no_value_is_readable_in_the_store_and_all_are_there_after_a_restart() {
    let store = MemoryStore::new();
    let words = ["violet-parameter", "violet-secret", "violet-bytes"];
    {
        let world = World::on(store.clone());
        let put = json!({"Name": "/p", "Value": words[0], "Type": "SecureString"});
        world.get("AmazonSSM.PutParameter", put).await;
        let token = "0".repeat(32);
        let make = json!({"Name": "s", "SecretString": words[1], "ClientRequestToken": token});
        world.get("secretsmanager.CreateSecret", make).await;
        // "violet-bytes" in base64.
        let make = json!({
            "Name": "b", "SecretBinary": "dmlvbGV0LWJ5dGVz", "ClientRequestToken": token,
        });
        world.get("secretsmanager.CreateSecret", make).await;
    }
    let mut rows = 0;
    let mut copy = store.clone();
    copy.load(&mut |row| {
        rows += 1;
        let body = String::from_utf8_lossy(row.body).into_owned();
        assert!(!body.contains("violet"), "{body}");
        Ok(())
    })
    .unwrap();
    assert!(rows >= 6, "{rows} rows");
    let world = World::on(store);
    let read = json!({"Name": "/p", "WithDecryption": true});
    let found = world.get("AmazonSSM.GetParameter", read).await;
    assert_eq!(found["Parameter"]["Value"], words[0]);
    let found = world.get("secretsmanager.GetSecretValue", json!({"SecretId": "s"})).await;
    assert_eq!(found["SecretString"], words[1]);
}
