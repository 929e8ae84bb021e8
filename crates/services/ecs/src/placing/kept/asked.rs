//! What is asked of a kept fleet as it is: nothing here changes it.

use agent_protocol::CAPACITY_PROVIDER_ATTRIBUTE;
use placement::{Refusal, Removable, Request, Strategy};
use terms::ContainerInstanceId;

use super::Kept;
use crate::decide::shares;

impl Kept {
    /// How many instances there are.
    pub(in crate::placing) fn len(&self) -> usize {
        self.fleet.len()
    }

    /// Why each instance that cannot take one more task of `request` cannot.
    pub(in crate::placing) fn refusals(&self, request: &Request) -> Vec<Refusal> {
        self.fleet.refusals(request)
    }

    /// The refusals of instances that the request is about: those of its capacity provider, if it
    /// has one. An instance of another one is not in want of anything.
    pub(in crate::placing) fn concerned(
        &self,
        request: &Request,
        mut refusals: Vec<Refusal>,
    ) -> Vec<Refusal> {
        let provider = shares::provider_of(request);
        if provider.is_some() {
            let of = |id| self.fleet.get(id)?.attribute(CAPACITY_PROVIDER_ATTRIBUTE);
            refusals.retain(|refusal| of(refusal.instance) == provider);
        }
        refusals
    }

    /// Which of `candidates` go first: see [`Fleet::scale_in`].
    pub(in crate::placing) fn scale_in(
        &self,
        group: &str,
        strategies: &[Strategy],
        candidates: &[Removable],
        count: usize,
        seed: u64,
    ) -> Vec<usize> {
        self.fleet.scale_in(group, strategies, candidates, count, seed)
    }

    /// CPU units and MiB that are left of an instance; nothing of one that is not there.
    pub(in crate::placing) fn left(&self, id: ContainerInstanceId) -> (u32, u32) {
        let instance = self.fleet.get(id);
        instance.map_or((0, 0), |one| (one.free_cpu().get(), one.free_memory().get()))
    }
}
