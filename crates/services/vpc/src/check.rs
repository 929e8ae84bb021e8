//! What must be so in stored rows, for `longshore store check`.

use std::collections::BTreeSet;

use ledger::{Findings, Snapshot};

use crate::Tables;

impl Tables {
    /// Notes interfaces that have the same address in the same subnet, and subnets outside of a VPC.
    pub fn check(&self, snapshot: &Snapshot, findings: &mut Findings) {
        let mut taken = BTreeSet::new();
        for (key, row) in snapshot.range(&self.interfaces, ..) {
            if !taken.insert((key.0, row.subnet.clone(), row.address)) {
                let problem = format!("another has its address {} in {}", row.address, row.subnet);
                findings.note("vpc.addresses", &key.1, problem);
            }
        }
        for (key, row) in snapshot.range(&self.subnets, ..) {
            match self.vpc(snapshot, &key.0, &row.vpc) {
                Some(vpc) if vpc.cidr.holds(row.cidr) => {}
                Some(vpc) => {
                    let problem = format!("its {} is not of its VPC's {}", row.cidr, vpc.cidr);
                    findings.note("vpc.subnets", &key.1, problem);
                }
                None => findings.note("vpc.subnets", &key.1, format!("no VPC {}", row.vpc)),
            }
        }
    }
}
