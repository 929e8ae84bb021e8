//! Tasks whose health nobody can tell (ECS semantics §17, SERVICE_HEALTH_UNKNOWN).

use std::time::Duration;

use terms::{TaskId, Timestamp};

use super::look::{Look, remember};
use super::texts;
use super::view::{Phase, Rules, Seen};
use crate::model::ServiceStatus;

/// For how long the agent of an instance is away before what it said of checks is old. Agents come
/// back from a lost connection within seconds.
const OLD_AFTER: Duration = Duration::from_secs(60);

impl Look<'_> {
    /// Says so when the checks of RUNNING tasks have not been heard of for too long, as their agents
    /// are away: once until the service is steady again, or six hours are over.
    pub(super) fn miss_checks(&mut self) {
        if self.rows.service.status != ServiceStatus::Active {
            return;
        }
        let (now, rules) = (self.now, self.rules);
        let tasks = &self.view.tasks;
        let next = tasks.iter().filter_map(|task| old_at(task, rules)).filter(|at| *at > now).min();
        let is_old = |task: &&Seen| old_at(task, rules).is_some_and(|at| at <= now);
        let old: Vec<TaskId> = tasks.iter().filter(is_old).map(|task| task.id).collect();
        self.look_again(next);
        if old.is_empty() {
            return;
        }
        let name = self.name();
        if remember(&mut self.rows.service, "health unknown", now) {
            self.say(texts::unknown(&name, old));
        }
    }
}

/// When what is known of a task's checks is old: before it is given up as lost, if it is.
fn old_at(task: &Seen, rules: &Rules) -> Option<Timestamp> {
    let is_checked = task.check.is_some() && matches!(task.phase, Phase::Running(_));
    let away = task.ground.away_since.filter(|_| is_checked)?;
    Some(away + rules.lost_after.map_or(OLD_AFTER, |lost| lost.min(OLD_AFTER)))
}
