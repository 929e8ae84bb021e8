//! Servers that share an etcd.

use crate::etcd_server::shared_settings;
use crate::world::{World, key, runtime, ship};

#[test]
fn one_leads_and_the_other_follows() {
    runtime().block_on(async {
        let settings = shared_settings("one");
        let one = World::join(None, settings.clone()).await.unwrap();
        one.leads().await;
        let mut other = settings.clone();
        other.member.name = "other".to_owned();
        let other = World::join(None, other).await.unwrap();
        one.put(key("red", 1), ship("Oslo", 1)).await;
        let snapshot = other.ledger.current().await.unwrap();
        assert_eq!(snapshot.get(&other.ships, &key("red", 1)).unwrap().cargo, 1);
        one.ledger.resign().await;
        other.leads().await;
        other.put(key("red", 2), ship("Oslo", 1)).await;
        assert_eq!(one.ledger.current().await.unwrap().revision(), 2);
    });
}
