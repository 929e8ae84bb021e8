//! The end of a deleted service (ECS semantics §7.11).

use super::look::Look;
use super::view::{Phase, Why};
use crate::model::{ServiceChange, ServiceStatus};

impl Look<'_> {
    /// Stops all tasks; when all are stopping or have stopped, the service is INACTIVE.
    pub(super) fn drain(&mut self) {
        let wanted = self.view.tasks.iter().filter(|task| task.phase != Phase::Stopping);
        let wanted: Vec<_> = wanted.map(|task| task.id).collect();
        self.rows.service.course.steady_at = None;
        if !wanted.is_empty() {
            let count = wanted.len();
            self.out.stop(wanted, count, Why::Scaling);
            return;
        }
        self.end_all();
        self.rows.task_sets.clear();
        let service = &mut self.rows.service;
        if service.status == ServiceStatus::Draining {
            service.status = service.status.next(ServiceChange::Emptied).unwrap_or(service.status);
            service.changed_at = self.now;
            service.primary = None;
        }
    }
}
