//! Random histories of a fleet.

use std::sync::Arc;

use placement::{Demand, Fleet, Request};
use proptest::prelude::*;
use terms::ContainerInstanceId;

use super::fleets::{GROUPS, Parts, demands, group, id, parts, request};

/// What may happen to a fleet.
#[derive(Clone, Debug)]
pub enum Change {
    Upsert(u8, Parts),
    Remove(u8),
    Hold(u8, u8, Demand),
    /// The last task that was held goes.
    Release,
    Place(Request, u64),
    Plan(Request, u64),
}

pub fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (0..8_u8, parts()).prop_map(|(number, parts)| Change::Upsert(number, parts)),
        1 => (0..8_u8).prop_map(Change::Remove),
        2 => (0..8_u8, 0..GROUPS, demands()).prop_map(|(n, of, demand)| Change::Hold(n, of, demand)),
        2 => Just(Change::Release),
        2 => (request(), any::<u64>()).prop_map(|(request, seed)| Change::Place(request, seed)),
        1 => (request(), any::<u64>()).prop_map(|(request, seed)| Change::Plan(request, seed)),
    ]
}

/// Makes changes; `requests` are those that the fleet was asked.
pub fn change_all(fleet: &mut Fleet, changes: Vec<Change>, requests: &mut Vec<Request>) {
    let mut held: Vec<(ContainerInstanceId, Arc<str>, Demand)> = Vec::new();
    for change in changes {
        match change {
            Change::Upsert(number, parts) => {
                fleet.upsert(parts.instance(number));
                held.retain(|(on, ..)| *on != id(number));
            }
            Change::Remove(number) => {
                fleet.remove(id(number));
                held.retain(|(on, ..)| *on != id(number));
            }
            Change::Hold(number, of, demand) => {
                fleet.hold(id(number), &group(of), &demand);
                if fleet.get(id(number)).is_some() {
                    held.push((id(number), group(of), demand));
                }
            }
            Change::Release => {
                if let Some((on, group, demand)) = held.pop() {
                    fleet.release(on, &group, &demand);
                }
            }
            Change::Place(request, seed) => {
                for on in fleet.place(&request, seed).placed {
                    held.push((on, request.group.clone(), request.demand.clone()));
                }
                requests.push(request);
            }
            Change::Plan(request, seed) => {
                fleet.plan(&request, seed);
                requests.push(request);
            }
        }
    }
}
