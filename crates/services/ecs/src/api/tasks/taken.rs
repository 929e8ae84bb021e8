//! What the tasks of one transaction take.

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
    chosen: Vec<(Request, Vec<ContainerInstanceId>)>,
}

impl Taken {
    /// Tasks of `request` go to these instances.
    pub(super) fn add(
        &mut self,
        request: &Request,
        instances: impl IntoIterator<Item = ContainerInstanceId>,
    ) {
        let instances: Vec<_> = instances.into_iter().collect();
        if !instances.is_empty() {
            self.chosen.push((request.clone(), instances));
        }
    }

    /// Lets the commit of `tx` depend on all of it being free. To be called once, at the end.
    pub(crate) fn guard(self, api: &Api, tx: &mut Tx<'_>, cluster: &ClusterKey) {
        if self.chosen.is_empty() {
            return;
        }
        self.devices.guard(tx, api.tables, cluster.clone());
        api.placer.guard(tx, cluster, self.chosen);
    }
}
