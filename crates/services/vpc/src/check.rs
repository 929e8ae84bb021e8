//! What must be so in stored rows, for `longshore store check`.

use std::collections::BTreeSet;

use ledger::{Findings, Snapshot};

use crate::Tables;

impl Tables {
    /// Notes interfaces that have the same address in the same subnet.
    pub fn check(&self, snapshot: &Snapshot, findings: &mut Findings) {
        let mut taken = BTreeSet::new();
        for (key, row) in snapshot.range(&self.interfaces, ..) {
            if !taken.insert((key.0, row.subnet.clone(), row.address)) {
                let problem = format!("another has its address {} in {}", row.address, row.subnet);
                findings.note("vpc.addresses", &key.1, problem);
            }
        }
    }
}
