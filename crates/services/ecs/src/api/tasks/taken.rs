//! What the tasks of one transaction take.

use std::collections::BTreeMap;

use ledger::Tx;
use placement::Request;
use terms::ContainerInstanceId;

use super::super::Api;
use super::devices::Devices;
use crate::tables::ClusterKey;

/// Room and devices that the tasks of one transaction take: they are guarded together, for what
/// fits by itself need not fit beside the others.
#[derive(Default)]
pub(crate) struct Taken {
    pub(super) devices: Devices,
    chosen: BTreeMap<ClusterKey, Vec<(Request, Vec<ContainerInstanceId>)>>,
}

impl Taken {
    /// Tasks of `request` go to these instances of `ground`, a cluster or a fleet.
    pub(super) fn add(
        &mut self,
        ground: &ClusterKey,
        request: &Request,
        instances: impl IntoIterator<Item = ContainerInstanceId>,
    ) {
        let instances: Vec<_> = instances.into_iter().collect();
        if !instances.is_empty() {
            let here = self.chosen.entry(ground.clone()).or_default();
            here.push((request.clone(), instances));
        }
    }

    /// Lets the commit of `tx` depend on all of it being free. To be called once, at the end.
    pub(crate) fn guard(self, api: &Api, tx: &mut Tx<'_>) {
        // Devices are given on instances of a cluster alone, and a transaction has one of those.
        if let Some(cluster) = self.chosen.keys().find(|ground| !ground.is_fleet()) {
            self.devices.guard(tx, api.tables, cluster.clone());
        }
        for (ground, chosen) in self.chosen {
            api.placer.guard(tx, &ground, chosen);
        }
    }
}
