//! What becomes due with time, or is to be done before it is.

use std::time::Duration;

use terms::Timestamp;

use super::{Engine, Outcome};

impl Engine {
    /// Does what is due by now.
    pub(super) fn tick(&mut self, now: Timestamp, out: &mut Outcome) {
        // What was due by the clock as it was may be far away by the clock as it is.
        if std::mem::take(&mut self.was_put_back) {
            for arn in self.tasks.keys().cloned().collect::<Vec<_>>() {
                self.change(&arn, now, out, |_, _| {});
            }
        }
        while let Some((at, arn)) = self.deadlines.first().cloned() {
            if at > now {
                break;
            }
            self.set_deadline(&arn, None);
            self.change(&arn, now, out, |_, _| {});
        }
    }

    /// Tasks that wait to begin are refused while the disk is full, and what stopped tasks leave goes
    /// at once while it is low.
    pub(super) fn disk(
        &mut self,
        is_low: bool,
        full: Option<String>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        self.disk_full = full;
        if self.settings.is_hasty != is_low {
            self.settings.is_hasty = is_low;
            for arn in self.tasks.keys().cloned().collect::<Vec<_>>() {
                self.change(&arn, now, out, |_, _| {});
            }
        }
    }

    /// Stops waiting for anything: all is to be removed.
    pub(super) fn clean_up(&mut self, reports: bool, now: Timestamp, out: &mut Outcome) {
        self.settings.cleanup_wait = Duration::ZERO;
        self.settings.unsent_wait = Duration::MAX;
        self.settings.needs_reports = reports;
        let latest = now + self.settings.stop_timeout_max;
        for arn in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.change(&arn, now, out, |task, _| task.hasten(latest));
        }
    }
}
