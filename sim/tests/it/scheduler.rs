//! Deliberate mistakes of the scheduler of services, each of which the checks must find.

use sim::{Mistake, Mutation, Options};

use super::mutations::check;

const FEWEST: &str = "never fewer healthy tasks than the minimum because of us";
const MOST: &str = "never more tasks than the maximum";
const ENDS: &str = "deployments end once, and as their tasks do";
const BACK: &str = "what is rolled back goes to what was complete last";
const RESTS: &str = "services that are as they should be stay so";
const SETTLES: &str = "every task ends where its desired state says";
const ALL_END: &str = "every deployment comes to its end";
const GONE: &str = "deleted services leave no tasks";
const SETS: &str = "task sets have what their share says";

fn scheduler(mistake: Mistake, invariants: &[&str]) {
    check(Mutation::Scheduler(mistake), invariants);
}

#[test]
fn one_that_forgets_the_minimum() {
    scheduler(Mistake::ForgetsMinimum, &[FEWEST]);
}

#[test]
fn one_that_forgets_the_maximum() {
    scheduler(Mistake::ForgetsMaximum, &[MOST]);
}

#[test]
fn one_that_takes_running_for_healthy() {
    scheduler(Mistake::TrustsAtOnce, &[FEWEST, ENDS]);
}

#[test]
fn one_that_takes_every_check_for_passed() {
    scheduler(Mistake::TrustsChecks, &[FEWEST, ENDS, SETTLES]);
}

#[test]
fn one_that_starts_one_more() {
    scheduler(Mistake::StartsOneMore, &[MOST, RESTS, SETTLES, ALL_END]);
}

#[test]
fn one_that_loses_sight_of_earlier_deployments() {
    // A service of task sets has no current deployment, so all of its tasks are out of sight.
    scheduler(Mistake::LosesSightOfOld, &[MOST, ENDS, SETTLES, ALL_END, GONE, SETS]);
}

#[test]
fn one_that_leaves_a_task_of_a_deleted_service() {
    scheduler(Mistake::LeavesOneBehind, &[GONE]);
}

#[test]
fn one_that_ignores_protection() {
    let invariant = "protected tasks are not stopped for being too many";
    scheduler(Mistake::IgnoresProtection, &[invariant]);
}

#[test]
fn one_whose_breaker_never_trips() {
    scheduler(Mistake::NeverGivesUp, &[SETTLES, ALL_END, MOST]);
}

#[test]
fn one_whose_breaker_trips_at_once() {
    scheduler(Mistake::GivesUpAtOnce, &["the circuit breaker counts what failed"]);
}

#[test]
fn one_that_does_not_go_back() {
    scheduler(Mistake::ForgetsRollback, &[BACK]);
}

#[test]
fn one_that_goes_on_with_what_failed() {
    scheduler(Mistake::GoesOnAfterFailure, &["services start what their deployments say"]);
}

#[test]
fn one_that_goes_back_too_far() {
    scheduler(Mistake::GoesBackTooFar, &[BACK]);
}

#[test]
fn one_that_keeps_silent() {
    scheduler(Mistake::KeepsSilent, &["services say what happens, in order"]);
}

#[test]
fn one_that_ignores_alarms() {
    let invariant = "alarms end deployments, and only alarms that are on";
    scheduler(Mistake::IgnoresAlarms, &[invariant]);
}

#[test]
fn one_that_gives_each_task_set_everything() {
    scheduler(Mistake::TakesWholeShares, &[SETS, SETTLES]);
}

#[test]
fn every_mistake_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<String> =
        Mutation::all().iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(names.len(), Mutation::all().len());
    assert_eq!(Options::default().mutation, Mutation::None);
}
