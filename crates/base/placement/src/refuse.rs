//! Why instances cannot take a task.

use std::collections::BTreeMap;

use crate::class::ClassId;
use crate::fleet::{Fleet, Slot};
use crate::instance::check_attributes;
use crate::{Reason, Refusal, Request, ZONE};

/// Every instance that cannot take one more task of `request`, in the order of ids.
pub(crate) fn refusals(fleet: &Fleet, request: &Request) -> Vec<Refusal> {
    let told = |name: &str| fleet.classes.tell(name);
    let by_class = request.attributes.iter().all(|wanted| told(&wanted.name))
        && (request.zones.is_none() || told(ZONE));
    // What attributes have against the instances of a class, if that is the same for all.
    let mut classes: BTreeMap<ClassId, Result<(), Reason>> = BTreeMap::new();
    let mut attributes = |slot: &Slot| {
        if !by_class {
            return check_attributes(slot.instance.attributes(), request);
        }
        let of_class = || check_attributes(&fleet.classes.get(slot.class()).attributes, request);
        classes.entry(slot.class()).or_insert_with(of_class).clone()
    };
    let refusal = |slot: &Slot| {
        let instance = &slot.instance;
        let checked = instance
            .check_availability()
            .and_then(|()| attributes(slot))
            .and_then(|()| instance.check_resources(&request.demand))
            .and_then(|()| instance.check_constraints(request));
        checked.err().map(|reason| Refusal { instance: instance.id(), reason })
    };
    fleet.slots().filter_map(refusal).collect()
}
