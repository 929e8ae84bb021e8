//! When a service is steady, and how often it says so (ECS semantics §7.7).

use std::time::Duration;

use super::look::Look;
use super::texts;
use crate::model::{ServiceEventKind, StrategyItem};
use crate::tables::service_key;

/// How often a service that stays steady says so again.
const AGAIN_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

impl Look<'_> {
    /// The ARNs of the capacity providers that the service's tasks go by.
    fn providers(&self) -> Vec<String> {
        let Some(of) = self.rows.service.primary else { return Vec::new() };
        let scope = service_key(&self.rows.service.arn).0.scope;
        let arn = |item: &StrategyItem| scope.provider_arn(item.provider.clone()).to_string();
        self.view.strategy(of).iter().map(arn).collect()
    }

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
            let (kind, text) = texts::steady(&name);
            let providers = self.providers();
            let kind = match providers.is_empty() {
                true => kind,
                false => ServiceEventKind::SteadyStateOf(providers),
            };
            self.say((kind, text));
            self.look_again(Some(now + AGAIN_AFTER));
        } else {
            self.look_again(next);
        }
    }
}
