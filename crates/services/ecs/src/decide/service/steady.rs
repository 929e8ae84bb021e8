//! When a service is steady, and how often it says so (ECS semantics §7.7).

use std::time::Duration;

use super::look::Look;
use super::texts;

/// How often a service that stays steady says so again.
const AGAIN_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

impl Look<'_> {
    /// Says that the service is steady when it has become so, and from time to time after.
    pub(super) fn settle(&mut self, is_steady: bool) {
        let (now, name) = (self.now, self.name());
        let course = &mut self.rows.service.course;
        if !is_steady {
            course.steady_at = None;
            return;
        }
        let next = course.steady_at.map(|at| at + AGAIN_AFTER);
        if next.is_none_or(|next| next <= now) {
            course.steady_at = Some(now);
            course.said.clear();
            self.say(texts::steady(&name));
            self.look_again(Some(now + AGAIN_AFTER));
        } else {
            self.look_again(next);
        }
    }
}
