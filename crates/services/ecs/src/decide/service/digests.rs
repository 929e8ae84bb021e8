//! What the tags of a revision's images are fixed to (ECS semantics §7.9).

use super::look::Look;
use super::view::Seen;
use crate::model::{Consistency, Deployment, Resolution, Revision, RevisionImage};

/// Failed attempts after which tags are used as written, unless a container's definition says that
/// its own is to be fixed.
const GIVEN_UP_AFTER: u32 = 3;

impl Look<'_> {
    /// Fixes the images of revisions to what their first task reported.
    pub(super) fn fix_digests(&mut self) {
        for one in &self.rows.deployments {
            let Some(revision) = self.rows.revisions.get_mut(&one.revision) else { continue };
            if revision.resolution != Resolution::Open || revision.images.is_empty() {
                continue;
            }
            let tasks = self.view.tasks.iter().filter(|task| task.of == one.id);
            fix(revision, one, tasks);
        }
    }
}

fn fix<'a>(revision: &mut Revision, one: &Deployment, tasks: impl Iterator<Item = &'a Seen>) {
    let told = tasks.filter_map(|task| Some((task.created_at, task.digests.as_ref()?)));
    if let Some((_, digests)) = told.min_by_key(|(at, _)| *at) {
        let fixed = |image: &&mut RevisionImage| image.consistency != Consistency::Disabled;
        for image in revision.images.iter_mut().filter(fixed) {
            let digest = digests.iter().find(|(container, _)| *container == image.container);
            image.digest = digest.map(|(_, digest)| digest.clone());
        }
        revision.resolution = Resolution::Fixed;
        return;
    }
    let insists = revision.images.iter().any(|one| one.consistency == Consistency::Enabled);
    if !insists && one.throttle.failures.max(one.failed_tasks) >= GIVEN_UP_AFTER {
        revision.resolution = Resolution::GivenUp;
    }
}
