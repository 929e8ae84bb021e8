//! What load balancers have to do with a service's tasks (ECS semantics §5.1, §14): those whose
//! containers run are made known to them; those that leave are stopped when nothing is under way to
//! them any more.

use std::time::Duration;

use super::health::{self, Verdict};
use super::look::Look;
use super::texts;
use super::view::{Balance, Seen};

impl Look<'_> {
    /// Decides which tasks take their next step, and tells of targets that fail.
    pub(super) fn attend_targets(&mut self) {
        for task in &self.view.tasks {
            match task.balance {
                None => {}
                Some(Balance::Ready) => self.out.activates.push(task.id),
                Some(Balance::Leaving { until, is_idle }) => {
                    if is_idle || until <= self.now {
                        self.out.releases.push(task.id);
                    } else {
                        self.look_again(Some(until));
                    }
                }
            }
        }
        let grace = Duration::from_secs(self.rows.service.grace_seconds.unwrap_or(0).into());
        let fails = |task: &&Seen| {
            let verdict = health::verdict(task, grace, self.rules, self.now);
            verdict == Verdict::Unhealthy
        };
        let failing: Vec<&Seen> = self.view.tasks.iter().filter(fails).collect();
        for task in failing {
            if let Some(unwell) = &task.unwell {
                self.say_once(texts::unwell(&self.name(), task.id, unwell));
            }
        }
    }
}
