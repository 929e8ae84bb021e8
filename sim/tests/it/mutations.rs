//! Deliberate mistakes, each of which the checks must find.

use sim::{Mutation, Options};

use super::runs;

/// Within so many seeds each mistake is found.
const SEEDS: u64 = 300;

/// The mistake is found, as one of these invariants.
pub(super) fn check(mutation: Mutation, invariants: &[&str]) {
    let options = Options { mutation, ..Options::default() };
    let reports = runs(0..SEEDS, options, |report| report.violation.is_some());
    let found = reports.iter().find_map(|report| report.violation.as_ref());
    let found = found.unwrap_or_else(|| panic!("{mutation:?} is not found in {SEEDS} seeds"));
    assert!(invariants.contains(&found.invariant), "{mutation:?} is found as {found:?}");
}

#[test]
fn a_store_that_acknowledges_too_early() {
    check(Mutation::AcknowledgesBeforeDurable, &["no acknowledged write is lost"]);
}

#[test]
fn a_store_that_tears_batches() {
    let found = [
        "no acknowledged write is lost",
        "the server starts on its disk",
        "no instance is over-committed in the records",
        "every task ends where its desired state says",
        "services are described as they are",
    ];
    check(Mutation::TearsBatches, &found);
}

#[test]
fn a_journal_that_lies() {
    let found = [
        "no task runs twice under one id",
        "every task ends where its desired state says",
        "every task that is stopped stops",
        "nothing is left of a task that has stopped",
        "no machine is over-committed",
        "no port of a host is given to two",
    ];
    check(Mutation::JournalLies, &found);
}

#[test]
fn a_network_that_swallows_reports() {
    let found =
        ["every task ends where its desired state says", "every task that is stopped stops"];
    check(Mutation::SwallowsReports, &found);
}

#[test]
fn a_runtime_that_starts_twice() {
    check(Mutation::StartsTwice, &["no task runs twice under one id"]);
}

#[test]
fn a_runtime_that_stops_nothing() {
    let found = [
        "no machine is over-committed",
        "every task ends where its desired state says",
        "no port of a host is given to two",
    ];
    check(Mutation::LeavesRunning, &found);
}

#[test]
fn a_server_that_sends_payloads_again_under_new_ids() {
    check(Mutation::RenamesTasks, &["only tasks that were made are run"]);
}

#[test]
fn a_machine_that_overstates_itself() {
    // The agent holds back what its machine has no room for, so such a task may also wait for ever.
    let found = ["no machine is over-committed", "every task ends where its desired state says"];
    check(Mutation::OverstatesCapacity, &found);
}

/// What becomes of a ledger whose servers do not agree shows in many ways.
const DISAGREEMENT: &[&str] = &[
    "only who leads writes",
    "no acknowledged write is lost",
    "no read is stale",
    "nothing is visible before it is durable",
    "all servers show the same",
    "a client token stands for one set of tasks",
    "no revision is given out twice",
    "every task ends where its desired state says",
    "no instance is over-committed in the records",
    "states only move forward",
];

#[test]
fn an_old_leader_that_is_not_shut_out() {
    check(Mutation::ForgetsFence, DISAGREEMENT);
}

#[test]
fn a_follower_that_does_not_ask_for_the_newest_commit() {
    check(Mutation::AnswersOldHead, &["no read is stale", "no acknowledged write is lost"]);
}

#[test]
fn an_etcd_that_loses_commits() {
    check(Mutation::LosesCommits, DISAGREEMENT);
}

#[test]
fn a_watch_that_passes_over_rows() {
    check(Mutation::SkipsEvents, DISAGREEMENT);
}

#[test]
fn chance_that_no_seed_knows() {
    let options = Options { mutation: Mutation::ForgetsSeed, ..Options::default() };
    let (first, second) = (sim::run(1, options), sim::run(1, options));
    assert_ne!(first.hash, second.hash);
}
