//! Addresses: given once, never a reserved one, and again when they are free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;
use vpc::Subnet;

use super::world::World;

/// How many addresses of a /20 can be had.
const USABLE: u32 = 4096 - 5;

#[derive(Clone, Debug)]
enum Step {
    /// In the subnet of this number.
    Attach(usize),
    /// One of those that there are.
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![3 => (0_usize..3).prop_map(Step::Attach), 1 => any::<usize>().prop_map(Step::Release)]
}

fn is_reserved(subnet: &Subnet, address: Ipv4Addr) -> bool {
    let offset = u32::from(address) - u32::from(subnet.cidr.base);
    offset < 4 || offset == subnet.cidr.size() - 1
}

async fn run(seed: u64, steps: Vec<Step>) {
    let world = World::new(seed);
    let subnets = world.all_subnets().await;
    let mut held: BTreeMap<String, (usize, Ipv4Addr, String)> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Attach(number) => {
                let subnet = &subnets[number];
                let made = world.attach(subnet, "").await.unwrap();
                assert!(subnet.cidr.contains(made.address), "{made:?}");
                assert!(!is_reserved(subnet, made.address), "{made:?}");
                assert_eq!((made.gateway, made.prefix), (subnet.cidr.gateway(), 20));
                let is_new = |other: &(usize, Ipv4Addr, String)| {
                    other.1 != made.address && other.2 != made.mac
                };
                assert!(held.values().all(is_new), "{made:?}");
                assert!(held.insert(made.id, (number, made.address, made.mac)).is_none());
            }
            Step::Release(index) if !held.is_empty() => {
                let id = held.keys().nth(index % held.len()).unwrap().clone();
                held.remove(&id);
                world.release(&id).await;
                world.release(&id).await;
            }
            Step::Release(_) => {}
        }
        let snapshot = world.ledger.snapshot();
        for (number, subnet) in subnets.iter().enumerate() {
            let taken = held.values().filter(|(of, ..)| *of == number).count();
            let free = world.tables.free_addresses(&snapshot, &world.scope, subnet);
            assert_eq!(free, USABLE - u32::try_from(taken).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_address_is_given_twice(seed: u64, steps in prop::collection::vec(step(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(seed >> 1, steps));
    }
}

#[tokio::test]
async fn a_subnet_can_be_filled_to_its_last_address() {
    let world = World::new(1);
    let subnets = world.all_subnets().await;
    let (full, other) = (&subnets[0], &subnets[1]);
    let mut made = Vec::new();
    for _ in 0..USABLE {
        made.push(world.attach(full, "").await.unwrap());
    }
    let addresses: BTreeSet<_> = made.iter().map(|one| one.address).collect();
    assert_eq!(addresses.len(), made.len());
    assert!(addresses.iter().all(|address| !is_reserved(full, *address)));
    let refused = world.attach(full, "").await.unwrap_err();
    assert_eq!(refused.subnet, full.id);
    assert!(world.attach(other, "").await.is_ok(), "another subnet has its own");
    // What is given back can be had again.
    let freed = &made[17];
    world.release(&freed.id).await;
    let again = world.attach(full, "").await.unwrap();
    assert_eq!(again.address, freed.address);
    assert_ne!(again.id, freed.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_ask_at_once_get_different_addresses() {
    let world = std::sync::Arc::new(World::new(7));
    let subnet = world.all_subnets().await[0].clone();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (world, subnet) = (world.clone(), subnet.clone());
        asking.spawn(async move { world.attach(&subnet, "").await.unwrap().address });
    }
    let addresses: BTreeSet<_> = asking.join_all().await.into_iter().collect();
    assert_eq!(addresses.len(), 64);
}
