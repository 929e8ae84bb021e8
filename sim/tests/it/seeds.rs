//! What holds for every seed.

use std::collections::BTreeMap;

use sim::Options;

use super::{failure, runs};

/// How many seeds a test run goes through; `LONGSHORE_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 1000;

#[test]
fn a_thousand_seeds_hold_every_invariant() {
    let asked = std::env::var("LONGSHORE_SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    let reports = runs(0..asked.unwrap_or(SEEDS), Options::default(), |_| false);
    let failed: Vec<String> = reports.iter().filter_map(failure).collect();
    assert!(failed.is_empty(), "{} seeds fail; the first:\n{}", failed.len(), failed[0]);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for report in &reports {
        report.counts.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
    }
    // A simulation that meets nothing finds nothing.
    for what in MET {
        assert!(counts.contains_key(what), "no seed has met '{what}': {counts:?}");
    }
}

/// What the seeds together must have met.
const MET: &[&str] = &[
    "a write outlives a crash",
    "alarm set",
    "agent dies after writing its journal",
    "agent dies after",
    "agent dies before",
    "agent dies writing its journal",
    "agent dies",
    "agent gives up",
    "agent pauses",
    "broken channel",
    "check fails",
    "clock jump",
    "crash after commit",
    "crash before commit",
    "create fails",
    "deployment completed",
    "deployment failed",
    "deployment goes back",
    "deployment replaced",
    "deployment stopped",
    "deployment went back",
    "doubled call",
    "doubled message",
    "etcd forgets",
    "etcd is asked twice",
    "etcd is not asked",
    "etcd's answer is lost",
    "everything loaded again",
    "fleet drained",
    "instance deregistered",
    "journal is full",
    "leader changes",
    "lost answer",
    "lost request",
    "machine without a server",
    "partition",
    "port taken by another",
    "power loss",
    "pull fails",
    "remove fails",
    "server ends",
    "server pauses",
    "server stops",
    "server without etcd",
    "servers apart",
    "service created",
    "service deleted",
    "service ended",
    "service updated",
    "slow disk",
    "slow pull",
    "start fails",
    "store fails",
    "task set created",
    "task set deleted",
    "task set ended",
    "tasks protected",
    "tasks shared out",
    "tasks started",
    "tasks stopped",
    "watch breaks",
];

#[test]
fn the_same_seed_gives_the_same_log() {
    let first = runs(0..40, Options::default(), |_| false);
    let second = runs(0..40, Options::default(), |_| false);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.hash, second.hash, "seed {} is not replayed", first.seed);
    }
    let hashes: std::collections::BTreeSet<u64> = first.iter().map(|report| report.hash).collect();
    assert_eq!(hashes.len(), first.len(), "different seeds have different logs");
}
