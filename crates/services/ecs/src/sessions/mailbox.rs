//! What waits for one session: which tasks to look at again, and whether to end.
//!
//! Letters collapse: a session that is slow to look finds each key once, and beyond a cap the
//! order to look at everything, so the box never grows with the number of changes.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use terms::TaskId;
use tokio::sync::Notify;

use super::transport::Close;

/// Beyond this many keys a session looks at all its instance's tasks instead.
const DIRTY_TASKS_MAX: usize = 256;

/// What changed since a session last looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// The instance's own row.
    pub(crate) instance: bool,
    /// Every task of the instance, known or not.
    pub(crate) all_tasks: bool,
    /// These tasks; empty if `all_tasks`.
    pub(crate) tasks: BTreeSet<TaskId>,
}

impl Dirty {
    /// Everything: what a session that knows nothing looks at.
    pub(crate) fn everything() -> Self {
        Self { instance: true, all_tasks: true, tasks: BTreeSet::new() }
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        !self.instance && !self.all_tasks && self.tasks.is_empty()
    }

    fn add_task(&mut self, task: TaskId) {
        if self.all_tasks {
            return;
        }
        self.tasks.insert(task);
        if self.tasks.len() > DIRTY_TASKS_MAX {
            self.all_tasks = true;
            self.tasks.clear();
        }
    }
}

/// What a session finds in its box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Letter {
    /// Look again at these.
    Changed(Dirty),
    /// End the connection this way.
    End(Close),
}

/// The box of one session. Many write, the session alone reads.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    content: Mutex<Content>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Content {
    dirty: Dirty,
    end: Option<Close>,
}

impl Mailbox {
    /// Asks for a look at one task.
    pub(crate) fn task_changed(&self, task: TaskId) {
        self.content.lock().dirty.add_task(task);
        self.notify.notify_one();
    }

    /// Asks for a look at the instance's row.
    pub(crate) fn instance_changed(&self) {
        self.content.lock().dirty.instance = true;
        self.notify.notify_one();
    }

    /// Asks for a look at everything.
    pub(crate) fn everything_changed(&self) {
        self.content.lock().dirty = Dirty::everything();
        self.notify.notify_one();
    }

    /// Asks the session to end; the first reason stays.
    pub(crate) fn end(&self, close: Close) {
        self.content.lock().end.get_or_insert(close);
        self.notify.notify_one();
    }

    /// Waits for something to do. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Letter {
        loop {
            if let Some(letter) = self.take() {
                return letter;
            }
            self.notify.notified().await;
        }
    }

    fn take(&self) -> Option<Letter> {
        let mut content = self.content.lock();
        if let Some(close) = &content.end {
            return Some(Letter::End(close.clone()));
        }
        let dirty = std::mem::take(&mut content.dirty);
        (!dirty.is_empty()).then_some(Letter::Changed(dirty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u16) -> TaskId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        TaskId::from_bytes(bytes)
    }

    #[tokio::test]
    async fn letters_collapse() {
        let mailbox = Mailbox::default();
        mailbox.task_changed(task(1));
        mailbox.task_changed(task(1));
        mailbox.instance_changed();
        let expected = Dirty { instance: true, all_tasks: false, tasks: BTreeSet::from([task(1)]) };
        assert_eq!(mailbox.next().await, Letter::Changed(expected));
        assert_eq!(mailbox.take(), None);
    }

    #[tokio::test]
    async fn many_keys_become_everything() {
        let mailbox = Mailbox::default();
        for number in 0..1000 {
            mailbox.task_changed(task(number));
        }
        let Letter::Changed(dirty) = mailbox.next().await else { panic!("a change") };
        assert!(dirty.all_tasks && dirty.tasks.is_empty());
    }

    #[tokio::test]
    async fn an_end_stays() {
        let mailbox = Mailbox::default();
        mailbox.end(Close::normal("first"));
        mailbox.end(Close::normal("second"));
        assert_eq!(mailbox.next().await, Letter::End(Close::normal("first")));
        assert_eq!(mailbox.next().await, Letter::End(Close::normal("first")));
    }
}
