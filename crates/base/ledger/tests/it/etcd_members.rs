//! An etcd of three members, of which some die.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::{EtcdSettings, LedgerError, TransactError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::etcd::{join, run};
use crate::etcd_server::{EtcdServer, LONG_LEASE};
use crate::world::{World, key, settings, ship};

/// How often a writer tries again while nobody leads.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(20);
/// Acknowledged writes between two faults.
const CALM: usize = 100;

/// Counts on, each number once, and notes what was acknowledged.
async fn count(world: Arc<World>, acknowledged: Arc<watch::Sender<Vec<u64>>>) {
    let World { ledger, ships, .. } = &*world;
    loop {
        let counted = ledger.transact("count", |tx| {
            let number = tx.get(ships, &key("count", 0)).map_or(0, |ship| ship.cargo) + 1;
            tx.put(ships, key("count", 0), ship("Oslo", number));
            tx.put(ships, key("seen", number as u32), ship("Oslo", number));
            Ok::<_, ()>(number)
        });
        match counted.await {
            Ok(counted) => acknowledged.send_modify(|numbers| numbers.push(counted.value)),
            Err(TransactError::Ledger(
                LedgerError::NotLeading { .. }
                | LedgerError::OutcomeUnknown
                | LedgerError::Unreachable { .. },
            )) => sleep(AGAIN).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_member_of_etcd_that_leads_may_die_while_writes_go_on() {
    let mut members = EtcdServer::start_three();
    run(async {
        // That the first of the list is the one that dies is the worst case.
        members.sort_by_key(|member| !member.leads());
        let endpoints = members.iter().map(|member| member.endpoint.clone()).collect();
        let settings = EtcdSettings { endpoints, ..settings("one", "", "/longshore") };
        let one = Arc::new(join(&settings, "one").await);
        one.leads().await;
        let other = Arc::new(join(&settings, "other").await);
        let acknowledged = Arc::new(watch::Sender::new(Vec::new()));
        let writers =
            [&one, &other].map(|world| tokio::spawn(count(world.clone(), acknowledged.clone())));
        let mut seen = acknowledged.subscribe();
        for _ in 0..2 {
            let enough = seen.borrow().len() + CALM;
            seen.wait_for(|numbers| numbers.len() >= enough).await.unwrap();
            let leader = loop {
                match members.iter().position(EtcdServer::leads) {
                    Some(leader) => break leader,
                    None => sleep(AGAIN).await,
                }
            };
            members[leader].kill();
            let enough = seen.borrow().len() + CALM;
            seen.wait_for(|numbers| numbers.len() >= enough).await.unwrap();
            members[leader].start_again();
        }
        for writer in writers {
            writer.abort();
            assert!(writer.await.unwrap_err().is_cancelled());
        }
        let numbers = acknowledged.borrow().clone();
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(distinct.len(), numbers.len(), "two servers led at once");
        for world in [&one, &other] {
            let snapshot = world.reached().await;
            for number in &numbers {
                let row = snapshot.get(&world.ships, &key("seen", *number as u32));
                assert!(row.is_some(), "{number} was acknowledged and is lost");
            }
        }
        assert_eq!(one.all(), other.all());
    });
}

#[test]
fn a_member_that_is_down_from_the_start_does_no_harm() {
    let mut members = EtcdServer::start_three();
    members[0].kill();
    run(async {
        let endpoints = members.iter().map(|member| member.endpoint.clone()).collect();
        let lease = LONG_LEASE;
        let settings = EtcdSettings { endpoints, lease, ..settings("one", "", "/longshore") };
        let one = join(&settings, "one").await;
        one.leads().await;
        let revision = one.put(key("red", 0), ship("Oslo", 1)).await;
        for number in 1..200 {
            one.put(key("red", number), ship("Oslo", 1)).await;
        }
        // One term long, without a call that failed.
        assert_eq!(one.ledger.snapshot().revision(), revision + 199);
        let figures = one.ledger.cluster().unwrap();
        assert_eq!(figures.servers, 1);
        assert!(!figures.lease_left.is_zero() && figures.behind.is_zero(), "{figures:?}");
    });
}
