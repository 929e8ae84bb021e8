//! The changes of a commit, by what they are about.

use std::collections::BTreeMap;

use ecs::audit::{AuditedChange, AuditedInstance, AuditedRevision, AuditedTask, Changed};

use super::services::Touched;

/// The changes of one commit.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) tasks: Vec<Changed<AuditedTask>>,
    pub(super) instances: Vec<Changed<AuditedInstance>>,
    pub(super) revisions: Vec<Changed<AuditedRevision>>,
    /// What belongs to services, with their tasks, by their names.
    pub(super) services: BTreeMap<String, Touched>,
}

fn row<T>(change: &Changed<T>) -> Option<&T> {
    change.after.as_deref().or(change.before.as_deref())
}

impl Sorted {
    pub(super) fn of(changes: Vec<AuditedChange>) -> Self {
        let mut sorted = Self::default();
        for change in changes {
            sorted.add(change);
        }
        sorted
    }

    fn touched(&mut self, name: Option<String>) -> Option<&mut Touched> {
        Some(self.services.entry(name?).or_default())
    }

    fn add(&mut self, change: AuditedChange) {
        match change {
            AuditedChange::Task(change) => {
                let name = row(&change).and_then(|row| row.service.clone());
                if let Some(touched) = self.touched(name) {
                    touched.tasks.push(change.clone());
                }
                self.tasks.push(change);
            }
            AuditedChange::Instance(change) => self.instances.push(change),
            AuditedChange::Revision(change) => self.revisions.push(change),
            AuditedChange::Service(change) => {
                let name = row(&change).map(|row| row.name.clone());
                if let Some(touched) = self.touched(name) {
                    touched.service = Some(change);
                }
            }
            AuditedChange::Deployment(change) => {
                let name = row(&change).map(|row| row.service.clone());
                if let Some(touched) = self.touched(name) {
                    touched.deployments.push(change);
                }
            }
            AuditedChange::TaskSet(change) => {
                let name = row(&change).map(|row| row.service.clone());
                if let Some(touched) = self.touched(name) {
                    touched.task_sets.push(change);
                }
            }
            AuditedChange::Event(change) => {
                let name = row(&change).map(|row| row.service.clone());
                if let Some(touched) = self.touched(name)
                    && let Changed { before, after: Some(after) } = change
                    && before.is_none_or(|before| before != after)
                {
                    touched.events.push(*after);
                }
            }
        }
    }
}
