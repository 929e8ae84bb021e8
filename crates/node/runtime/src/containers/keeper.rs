//! One task for each container that has not ended: it speaks with the shim, and tells of the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shim::cgroup::Hierarchies;
use shim::{Call, Message, Reply};
use terms::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use super::records::{Directory, Record};
use super::socket::Socket;
use super::{CallError, ContainerEvent, ContainerState, ContainerStatus, Exit};

/// Calls to one container that wait to be sent.
const CALLS_MAX: usize = 32;

/// The exit code of a container that was killed: 128 + SIGKILL.
const KILLED: i32 = 137;

/// Pause between two attempts to kill what is left of a container whose shim is gone.
const KILL_PAUSE: Duration = Duration::from_millis(10);

/// Where events go: to whoever asked for them last.
pub(super) type Events = Arc<Mutex<Option<mpsc::Sender<ContainerEvent>>>>;

/// A call on its way to the shim.
struct Ask {
    call: Call,
    answer: oneshot::Sender<Result<Reply, CallError>>,
}

/// What keepers share.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) hierarchies: Arc<Hierarchies>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: Events,
}

/// A container as the runtime knows it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) state: watch::Receiver<ContainerState>,
    calls: mpsc::Sender<Ask>,
}

impl Entry {
    /// One that has ended.
    pub(super) fn ended(record: Record, exit: Exit) -> Self {
        let (_, state) = watch::channel(ContainerState::Exited(exit));
        let (calls, _) = mpsc::channel(1);
        Self { record, state, calls }
    }

    /// How it stands.
    pub(super) fn status(&self) -> ContainerStatus {
        ContainerStatus {
            id: self.record.id.clone(),
            name: self.record.name.clone(),
            task: self.record.task.clone(),
            state: self.state.borrow().clone(),
        }
    }

    /// One whose shim lives: a keeper takes it over.
    pub(super) fn live(
        record: Record,
        directory: Directory,
        state: ContainerState,
        socket: Socket,
        host: Host,
    ) -> Self {
        let (sender, state) = watch::channel(state);
        let (calls, asked) = mpsc::channel(CALLS_MAX);
        let entry = Self { record: record.clone(), state, calls };
        let keeper = Keeper { record, directory, socket, host, state: sender, asked };
        tokio::spawn(keeper.run());
        entry
    }

    /// Asks the shim.
    pub(super) async fn call(&self, call: Call) -> Result<Reply, CallError> {
        let gone = || CallError::NotRunning(self.record.id.clone());
        let (answer, mut answered) = oneshot::channel();
        self.calls.send(Ask { call, answer }).await.map_err(|_| gone())?;
        tokio::select! {
            biased;
            answer = &mut answered => answer.map_err(|_| gone())?,
            // What is put into the queue just while its keeper ends stays there, and is not dropped
            // as long as somebody may send: the answer would be waited for without end.
            () = self.calls.closed() => answered.try_recv().map_err(|_| gone())?,
        }
    }

    /// Waits for its end.
    pub(super) async fn exited(&self) -> Option<Exit> {
        let mut state = self.state.clone();
        match &*state.wait_for(|state| matches!(state, ContainerState::Exited(_))).await.ok()? {
            ContainerState::Exited(exit) => Some(exit.clone()),
            _ => None,
        }
    }
}

struct Keeper {
    record: Record,
    directory: Directory,
    socket: Socket,
    host: Host,
    state: watch::Sender<ContainerState>,
    asked: mpsc::Receiver<Ask>,
}

type Pending = HashMap<u64, (bool, oneshot::Sender<Result<Reply, CallError>>)>;

impl Keeper {
    async fn run(mut self) {
        let mut pending = Pending::new();
        loop {
            tokio::select! {
                biased;
                message = self.socket.receive() => match message {
                    Ok(Some(Message::Response { id, reply })) => self.answer(&mut pending, id, reply),
                    Ok(Some(Message::Exited(_)) | None) | Err(_) => break,
                },
                ask = self.asked.recv() => {
                    // The runtime is gone; the shim stays.
                    let Some(Ask { call, answer }) = ask else { return };
                    let starts = matches!(call, Call::Start);
                    match self.socket.send(call).await {
                        Ok(id) => drop(pending.insert(id, (starts, answer))),
                        Err(_) => break,
                    }
                }
            }
        }
        self.end().await;
    }

    fn answer(&self, pending: &mut Pending, id: u64, reply: Reply) {
        let Some((starts, answer)) = pending.remove(&id) else { return };
        if starts && reply == Reply::Done {
            let started_at = self.host.clock.now();
            self.state.send_modify(|state| {
                if let ContainerState::Created { pid } = *state {
                    *state = ContainerState::Running { pid, started_at };
                }
            });
        }
        let _ = answer.send(match reply {
            Reply::Failed(message) => Err(CallError::Refused(message)),
            reply => Ok(reply),
        });
    }

    /// The shim has ended: with its container, or alone.
    async fn end(self) {
        let restarts = self.directory.restarts();
        let exit = match self.directory.exit().filter(|exit| exit.restarts >= restarts) {
            Some(exit) => exit,
            None => {
                let started_at = match *self.state.borrow() {
                    ContainerState::Running { started_at, .. } => Some(started_at),
                    _ => None,
                };
                let (directory, record) = (self.directory.clone(), self.record.clone());
                let host = self.host.clone();
                let ended = tokio::task::spawn_blocking(move || {
                    let reason = "the container was killed because its shim was";
                    let exit = end_without_shim(&directory, &record, &host, reason);
                    Exit { started_at, ..exit }
                });
                match ended.await {
                    Ok(exit) => exit,
                    Err(_) => return,
                }
            }
        };
        self.state.send_replace(ContainerState::Exited(exit.clone()));
        let events = self.host.events.lock().clone();
        if let Some(events) = events {
            let id = self.record.id.clone();
            let _ = events.send(ContainerEvent::Exited { id, exit }).await;
        }
    }
}

/// Kills what is left of a container that nobody holds any more, and puts down how it ended. Its
/// output has no reader, so it could not go on in any case.
pub(super) fn end_without_shim(
    directory: &Directory,
    record: &Record,
    host: &Host,
    reason: &str,
) -> Exit {
    kill_all(&host.hierarchies, &record.cgroup);
    let exit = Exit {
        code: KILLED,
        oom: host.hierarchies.oom_kills(&record.cgroup) > 0,
        at: host.clock.now(),
        started_at: None,
        reason: Some(reason.to_owned()),
        restarts: directory.restarts(),
    };
    if let Err(error) = directory.write_exit(&exit) {
        tracing::warn!(container = %record.id, %error, "cannot keep the exit status");
    }
    exit
}

/// Kills every process of a cgroup. To be called where blocking is allowed.
pub(super) fn kill_all(hierarchies: &Hierarchies, cgroup: &str) -> bool {
    let kill = |pid: i32| {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    };
    hierarchies.kill_all(cgroup, kill, || std::thread::sleep(KILL_PAUSE))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An entry, and what its keeper would be asked.
    fn entry() -> (Entry, mpsc::Receiver<Ask>) {
        let id = crate::ContainerId::from_bytes([0; 32]);
        let record = Record {
            id,
            name: "c".to_owned(),
            task: "t".to_owned(),
            cgroup: "/ecs/t/c".to_owned(),
        };
        let (_, state) = watch::channel(ContainerState::Created { pid: 1 });
        let (calls, asked) = mpsc::channel(CALLS_MAX);
        (Entry { record, state, calls }, asked)
    }

    #[tokio::test]
    async fn what_a_keeper_is_asked_while_it_ends_is_answered() {
        let (entry, mut asked) = entry();
        let call = tokio::spawn(async move { (entry.call(Call::Start).await, entry) });
        while asked.is_empty() {
            tokio::task::yield_now().await;
        }
        // It is in the queue, and nobody takes it out any more.
        asked.close();
        let (answer, _entry) = call.await.unwrap();
        assert!(matches!(answer, Err(CallError::NotRunning(_))), "{answer:?}");
        drop(asked);
    }

    #[tokio::test]
    async fn what_a_keeper_answered_before_it_ended_counts() {
        let (entry, mut asked) = entry();
        let call = tokio::spawn(async move { entry.call(Call::Start).await });
        let Ask { answer, .. } = asked.recv().await.unwrap();
        answer.send(Ok(Reply::Done)).unwrap();
        drop(asked);
        assert_eq!(call.await.unwrap().unwrap(), Reply::Done);
    }
}
