//! The minimum holds when a look is committed, not only when it was taken (docs/decisions/0054).

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::Tx;
use terms::{TaskId, Timestamp};

use super::read::{self, Known};
use crate::decide::service::Rows;
use crate::decide::service::health::{self, Verdict};
use crate::decide::service::percent::Bounds;
use crate::decide::service::view::{Rules, Seen};
use crate::model::{DeploymentId, ServiceStatus};
use crate::tables::service_key;

/// What counts as healthy at the time of a look.
#[derive(Clone, Copy)]
struct Measure {
    grace: Duration,
    rules: Rules,
    /// The deployment that is rolled out, and the rules that its tasks are judged by: the circuit
    /// breaker may have them on trial (docs/decisions/0134).
    primary: Option<(DeploymentId, Rules)>,
    now: Timestamp,
}

impl Measure {
    fn of(rows: &Rows, rules: &Rules, now: Timestamp) -> Self {
        let Rows { service, deployments, .. } = rows;
        let one = deployments.iter().find(|one| Some(one.id) == service.primary);
        let primary = one.map(|one| (one.id, health::rules_of(service, Some(one), rules)));
        let grace = Duration::from_secs(service.grace_seconds.unwrap_or(0).into());
        Self { grace, rules: *rules, primary, now }
    }

    fn is_healthy(&self, task: &Seen) -> bool {
        let primary = self.primary.filter(|(id, _)| *id == task.of);
        let rules = primary.map_or(self.rules, |(_, rules)| rules);
        health::verdict(task, self.grace, &rules, self.now) == Verdict::Healthy
    }

    /// How many healthy tasks are left without these.
    fn left(&self, tasks: &[Seen], without: &BTreeSet<TaskId>) -> usize {
        tasks.iter().filter(|task| self.is_healthy(task) && !without.contains(&task.id)).count()
    }
}

/// Lets the commit depend on the minimum: a look knows `tasks` of its service as facts, and one of
/// them may have ended since. `rows` are the service's as they become, `stopped` what the look
/// stops. Where fewer were left already when it was taken, none of those must be missing.
pub(super) fn guard(
    known: Known,
    tx: &mut Tx<'_>,
    (rows, tasks): (&Rows, &[Seen]),
    rules: &Rules,
    stopped: &[TaskId],
) {
    let service = &rows.service;
    let measure = Measure::of(rows, rules, tx.now());
    let stopped: BTreeSet<TaskId> = stopped.iter().copied().collect();
    let mut gone = tasks.iter().filter(|task| stopped.contains(&task.id));
    let is_active = service.status == ServiceStatus::Active;
    if !is_active || !gone.any(|task| measure.is_healthy(task)) {
        return;
    }
    let lower = Bounds::of(service.desired, &service.configuration).lower as usize;
    let least = lower.min(measure.left(tasks, &stopped));
    if least == 0 {
        return;
    }
    let key = service_key(&service.arn);
    tx.guard(move |facts| measure.left(&read::tasks(*facts, &known, &key), &stopped) >= least);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ledger::Ledger;

    use super::*;
    use crate::error::Error;
    use crate::model::sample::{MADE, deployment, service, task};
    use crate::model::{DeploymentConfiguration, OfDeployment, Task, TaskStatus, TaskTimes};
    use crate::tables::{Tables, sample, task_key};

    /// A task of the service `web`, healthy as soon as it runs.
    fn row(number: u8, status: TaskStatus) -> Task {
        Task {
            group: "service:web".into(),
            deployment: Some(OfDeployment { id: deployment(1).id, counted: false }),
            status,
            times: TaskTimes { started_at: Some(MADE), ..TaskTimes::default() },
            containers: Vec::new(),
            ..task(number)
        }
    }

    fn put(ledger: &Ledger, tables: Tables, rows: Vec<Task>) {
        let done = ledger.transact("put", |tx| {
            for row in &rows {
                tx.put(&tables.tasks, task_key(&row.arn), row.clone());
            }
            Ok::<_, Error>(())
        });
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(done).unwrap();
    }

    /// A service of two, whose first deployment is old.
    fn web() -> Rows {
        Rows {
            service: service(DeploymentConfiguration::replica(), 2),
            deployments: vec![deployment(1)],
            revisions: Default::default(),
            task_sets: Vec::new(),
        }
    }

    /// A look at `web` with `tasks` stops the first, if there are more than two; meanwhile `ends` of
    /// the others do. How often it is taken, and how many tasks it saw last.
    fn look(web: &Rows, tasks: Vec<Task>, ends: u8) -> (usize, usize) {
        let (ledger, tables) = sample::ledger();
        put(&ledger, tables, tasks);
        let key = service_key(&web.service.arn);
        let rules = Rules { settle: Duration::ZERO, ..Rules::default() };
        let (mut runs, mut seen) = (0, 0);
        let done = ledger.transact("look", |tx| {
            runs += 1;
            let known = Known { tables, balancers: None };
            let tasks = read::tasks(tx.facts(), &known, &key);
            seen = tasks.len();
            let stopped: Vec<TaskId> = (seen > 2).then(|| tasks[0].id).into_iter().collect();
            if runs == 1 {
                let ended = (2..2 + ends).map(|number| row(number, TaskStatus::Stopped));
                std::thread::scope(|scope| {
                    scope.spawn(|| put(&ledger, tables, ended.collect())).join().unwrap();
                });
            }
            guard(known, tx, (web, &tasks), &rules, &stopped);
            tx.put(&tables.services.rows, key.clone(), web.service.clone());
            Ok::<_, Error>(())
        });
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(done).unwrap();
        (runs, seen)
    }

    #[test]
    fn a_look_is_taken_again_when_what_it_counted_on_has_ended() {
        let three = || (1..=3).map(|number| row(number, TaskStatus::Running)).collect();
        assert_eq!(look(&web(), three(), 0), (1, 3));
        assert_eq!(look(&web(), three(), 1), (2, 2));
        assert_eq!(look(&web(), three(), 2), (2, 1));
    }

    #[test]
    fn tasks_on_trial_are_not_counted_on() {
        // Three old tasks, and one of the new deployment that runs for less than five seconds.
        let tasks = || {
            let mut all: Vec<Task> =
                (1..=4).map(|number| row(number, TaskStatus::Running)).collect();
            all[3].deployment = Some(OfDeployment { id: deployment(2).id, counted: false });
            all
        };
        let mut rows = web();
        rows.deployments.push(deployment(2));
        rows.service.primary = Some(deployment(2).id);
        // Without the circuit breaker it is as good as the old one that has ended.
        assert_eq!(look(&rows, tasks(), 1), (1, 4));
        rows.service.configuration.breaker.enable = true;
        assert_eq!(look(&rows, tasks(), 0), (1, 4));
        assert_eq!(look(&rows, tasks(), 1).0, 2);
    }
}
