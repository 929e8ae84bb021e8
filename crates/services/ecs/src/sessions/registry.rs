//! Which container instances are connected, and the mailbox of each one's session.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use terms::ContainerInstanceArn;

use super::mailbox::Mailbox;
use super::transport::Close;

/// The most sessions that one server holds; beyond it upgrades are answered with 503.
pub(crate) const SESSIONS_MAX: usize = 20_000;

/// Why no session may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// The server goes away.
    #[error("the server is shutting down; connect again in a moment")]
    Draining,
    /// [`SESSIONS_MAX`] is reached.
    #[error(
        "the server holds {SESSIONS_MAX} agent sessions, which is all it can; connect to another server, or try later"
    )]
    Overloaded,
}

/// The sessions of one kind (control, telemetry, node channel), one for each instance; `H` is
/// what reaches a session besides its mailbox.
#[derive(Debug)]
pub(crate) struct Registry<H = ()> {
    state: Mutex<State<H>>,
}

#[derive(Debug)]
struct State<H> {
    draining: bool,
    last_generation: u64,
    /// Ordered, so that a simulation wakes sessions in the same order each time.
    sessions: BTreeMap<ContainerInstanceArn, Entry<H>>,
}

#[derive(Debug)]
struct Entry<H> {
    generation: u64,
    mailbox: Arc<Mailbox>,
    handle: H,
}

/// A place in the registry: gives it up when dropped, unless a newer session took it over.
#[derive(Debug)]
pub(crate) struct Seat<H = ()> {
    registry: Arc<Registry<H>>,
    instance: ContainerInstanceArn,
    generation: u64,
    mailbox: Arc<Mailbox>,
}

impl<H> Default for Registry<H> {
    fn default() -> Self {
        let state = State { draining: false, last_generation: 0, sessions: BTreeMap::new() };
        Self { state: Mutex::new(state) }
    }
}

impl<H: Clone> Registry<H> {
    /// Whether a session could begin now.
    ///
    /// # Errors
    /// [`Full`] otherwise; asked before an upgrade is answered, because an agent spins without
    /// back-off on connections that end right after the upgrade (agent-protocol §2.3).
    pub(crate) fn check_room(&self) -> Result<(), Full> {
        self.state.lock().check_room()
    }

    /// Seats a session for the instance; an older one is told to end with 1000.
    ///
    /// # Errors
    /// [`Full`] if there is no room.
    pub(crate) fn seat(
        self: &Arc<Self>,
        instance: &ContainerInstanceArn,
        handle: H,
    ) -> Result<Seat<H>, Full> {
        let mut state = self.state.lock();
        state.check_room()?;
        state.last_generation += 1;
        let generation = state.last_generation;
        let mailbox = Arc::new(Mailbox::default());
        let entry = Entry { generation, mailbox: mailbox.clone(), handle };
        if let Some(older) = state.sessions.insert(instance.clone(), entry) {
            older.mailbox.end(Close::normal("a newer connection of this instance took over"));
        }
        Ok(Seat { registry: self.clone(), instance: instance.clone(), generation, mailbox })
    }

    /// The mailbox of the instance's session, if it has one.
    pub(crate) fn mailbox(&self, instance: &ContainerInstanceArn) -> Option<Arc<Mailbox>> {
        self.state.lock().sessions.get(instance).map(|entry| entry.mailbox.clone())
    }

    /// What reaches the instance's session, if it has one.
    pub(crate) fn handle(&self, instance: &ContainerInstanceArn) -> Option<H> {
        self.state.lock().sessions.get(instance).map(|entry| entry.handle.clone())
    }

    /// Whether the instance has a session.
    pub(crate) fn is_connected(&self, instance: &ContainerInstanceArn) -> bool {
        self.state.lock().sessions.contains_key(instance)
    }

    /// How many instances are connected.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().sessions.len()
    }

    /// Asks the instance's session, if it has one, to end.
    pub(crate) fn end(&self, instance: &ContainerInstanceArn, close: Close) {
        if let Some(mailbox) = self.mailbox(instance) {
            mailbox.end(close);
        }
    }

    /// Asks every session to look at everything: after the change feed was lost.
    pub(crate) fn wake_all(&self) {
        for entry in self.state.lock().sessions.values() {
            entry.mailbox.everything_changed();
        }
    }

    /// Takes sessions again after a [`Registry::drain`]; those that have not ended yet count no
    /// more.
    pub(crate) fn open(&self) {
        let mut state = self.state.lock();
        state.draining = false;
        state.sessions.clear();
    }

    /// Refuses new sessions and ends the present ones with 1001.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        state.draining = true;
        for entry in state.sessions.values() {
            entry.mailbox.end(Close::going_away());
        }
    }
}

impl<H> State<H> {
    fn check_room(&self) -> Result<(), Full> {
        if self.draining {
            return Err(Full::Draining);
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Full::Overloaded);
        }
        Ok(())
    }
}

impl<H> Seat<H> {
    /// Where this session finds what to do.
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }
}

impl<H> Drop for Seat<H> {
    fn drop(&mut self) {
        let mut state = self.registry.state.lock();
        let is_ours =
            state.sessions.get(&self.instance).is_some_and(|e| e.generation == self.generation);
        if is_ours {
            state.sessions.remove(&self.instance);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::mailbox::Letter;
    use super::*;

    fn instance(digit: char) -> ContainerInstanceArn {
        let id = digit.to_string().repeat(32);
        let text = format!("arn:aws:ecs:us-east-1:000000000000:container-instance/default/{id}");
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_newer_session_replaces_the_older() {
        let registry: Arc<Registry> = Arc::default();
        let older = registry.seat(&instance('a'), ()).unwrap();
        let newer = registry.seat(&instance('a'), ()).unwrap();
        let Letter::End(close) = older.mailbox().next().await else { panic!("an end") };
        assert_eq!(close.code, 1000);
        drop(older);
        assert!(registry.is_connected(&instance('a')));
        drop(newer);
        assert_eq!(registry.count(), 0);
    }

    #[tokio::test]
    async fn draining_ends_and_refuses() {
        let registry: Arc<Registry> = Arc::default();
        let seat = registry.seat(&instance('a'), ()).unwrap();
        registry.drain();
        let Letter::End(close) = seat.mailbox().next().await else { panic!("an end") };
        assert_eq!(close.code, 1001);
        assert_eq!(registry.seat(&instance('b'), ()).unwrap_err(), Full::Draining);
        registry.open();
        assert_eq!(registry.count(), 0);
        let again = registry.seat(&instance('a'), ()).unwrap();
        drop(seat);
        assert!(registry.is_connected(&instance('a')));
        drop(again);
    }
}
