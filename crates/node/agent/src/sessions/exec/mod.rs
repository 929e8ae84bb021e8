//! Sessions of ECS Exec: a command with a terminal in a container, and the agent's side of the data
//! channel that a client reaches it by (`agent_protocol::exec`).
//!
//! A session outlives its connections: a server that is started anew finds it again by its id, and
//! what the client has not acknowledged is sent again. It ends with its command, its container, its
//! agent, when the server says so, and when nobody was there for a while.

mod log;
mod object;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_protocol::exec::MAX_SESSIONS;
use agent_protocol::node::{AgentMessage, ExecRefused, OpenExec};
use parking_lot::Mutex;
use runtime::ContainerId;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::session::Session;
use super::Context;
use crate::engine::Phase;

/// How long the agent's end waits for the ends of its sessions.
const END_MAX: Duration = Duration::from_secs(3);

/// The sessions of this agent.
#[derive(Default)]
pub(super) struct Sessions {
    running: JoinSet<()>,
    /// What wakes each one that has lost its connection.
    known: Arc<Mutex<BTreeMap<String, Arc<Notify>>>>,
}

impl Sessions {
    /// Begins a session, lets one that runs connect again, or says why not.
    pub(super) fn open(&mut self, context: &Arc<Context>, open: OpenExec) -> Option<AgentMessage> {
        while self.running.try_join_next().is_some() {}
        if let Some(wake) = self.known.lock().get(&open.session_id) {
            wake.notify_one();
            return None;
        }
        let id = open.session_id.clone();
        match self.begin(context, open) {
            Ok(()) => None,
            Err(reason) => Some(ExecRefused { session_id: id, reason }.into()),
        }
    }

    fn begin(&mut self, context: &Arc<Context>, open: OpenExec) -> Result<(), String> {
        if open.is_begun {
            return Err("the session is over: its command, or the agent that held it".to_owned());
        }
        if self.running.len() >= MAX_SESSIONS {
            return Err(format!("this instance serves {MAX_SESSIONS} sessions already"));
        }
        let container = container(context, &open)?;
        let words =
            agent_protocol::exec::split(&open.command).map_err(|error| error.to_string())?;
        if words.is_empty() {
            return Err("no command specified".to_owned());
        }
        let (wake, id) = (Arc::new(Notify::new()), open.session_id.clone());
        self.known.lock().insert(id.clone(), Arc::clone(&wake));
        let known = Known { id, known: Arc::clone(&self.known) };
        let session = Session::new(Arc::clone(context), open, container, words);
        self.running.spawn(async move {
            session.run(&wake).await;
            drop(known);
        });
        Ok(())
    }

    /// Ends all of them; they have a moment to say so, and to write the last of their logs.
    pub(super) async fn shutdown(&mut self) {
        let ending = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(END_MAX, ending).await.is_err() {
            self.running.shutdown().await;
        }
    }
}

/// A session's place among the known ones; given up when dropped.
struct Known {
    id: String,
    known: Arc<Mutex<BTreeMap<String, Arc<Notify>>>>,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.known.lock().remove(&self.id);
    }
}

fn container(context: &Context, open: &OpenExec) -> Result<ContainerId, String> {
    let task = context.view.task(&open.task_arn);
    let task = task.ok_or("this instance has no such task, or has removed it")?;
    let mut containers = task.containers.iter();
    let container = containers.find(|container| container.name == open.container);
    let container = container.ok_or_else(|| format!("no container '{}'", open.container))?;
    match container.phase {
        Phase::Running => Ok(container.id.clone()),
        _ => Err(format!("container '{}' is not running", open.container)),
    }
}
