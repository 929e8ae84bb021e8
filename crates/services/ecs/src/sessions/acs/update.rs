//! The agent's own replacement (agent-protocol §2.5): it is told to stage a program, and once it
//! has it, to start it. How far that is stands in the instance's row; what was asked on this
//! connection, here.

use std::time::Duration;

use agent_protocol::acs::{PerformUpdate, ServerMessage, StageUpdate, UpdateInfo};
use terms::Timestamp;

use super::machine::{Acs, Step};
use crate::model::{AgentUpdate, UpdateEvent, UpdateStatus};
use crate::sessions::view::InstanceView;

/// Where agents fetch programs, below the server's own URL: a digest follows.
pub const AGENT_PROGRAM_PATH: &str = "/_longshore/agent";

/// An agent that has not staged the program by then will not: fetching alone may take fifteen
/// minutes (agent-protocol §2.5).
const STAGED_WITHIN: Duration = Duration::from_secs(20 * 60);

/// What the agent was asked, and not answered yet.
#[derive(Debug)]
pub(super) struct Asked {
    message_id: String,
    digest: String,
    what: What,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Stage,
    Perform,
}

impl Acs {
    /// Asks for what the row says is due, unless it was asked on this connection.
    pub(super) fn update_agent(
        &mut self,
        view: &impl InstanceView,
        now: Timestamp,
        step: &mut Step,
    ) {
        let Some(update) = view.update().filter(|update| update.status.is_under_way()) else {
            self.update_asked = None;
            return;
        };
        let what = match update.status {
            UpdateStatus::Pending | UpdateStatus::Staging => What::Stage,
            UpdateStatus::Staged => What::Perform,
            UpdateStatus::Updating | UpdateStatus::Updated | UpdateStatus::Failed => return,
        };
        let is_asked = |asked: &&Asked| asked.what == what && asked.digest == update.digest;
        if let Some(asked) = self.update_asked.as_ref().filter(is_asked) {
            if now.since(asked.at) >= STAGED_WITHIN {
                self.update_asked = None;
                step.update = Some(UpdateEvent::Refused);
            }
            return;
        }
        let message_id = self.message_id();
        step.send.push(self.update_message(&update, what, message_id.clone()));
        let digest = update.digest;
        self.update_asked = Some(Asked { message_id, digest, what, at: now });
        if update.status == UpdateStatus::Pending {
            step.update = Some(UpdateEvent::Told);
        }
    }

    fn update_message(
        &self,
        update: &AgentUpdate,
        what: What,
        message_id: String,
    ) -> ServerMessage {
        let message = StageUpdate {
            message_id,
            cluster_arn: self.cluster_arn.clone(),
            container_instance_arn: self.instance_arn.clone(),
            update_info: Some(UpdateInfo {
                location: format!("{AGENT_PROGRAM_PATH}/{}", update.digest),
                signature: update.digest.clone(),
            }),
        };
        match what {
            What::Stage => message.into(),
            What::Perform => PerformUpdate(message).into(),
        }
    }

    /// An ack that may be the update's.
    pub(super) fn update_acked(&mut self, message_id: &str, step: &mut Step) {
        let asked = self.update_asked.take_if(|asked| asked.message_id == message_id);
        step.update = asked.map(|asked| match asked.what {
            What::Stage => UpdateEvent::Fetched,
            What::Perform => UpdateEvent::Begun,
        });
    }

    /// A refusal that may be the update's.
    pub(super) fn update_refused(&mut self, message_id: &str, step: &mut Step) {
        let asked = self.update_asked.take_if(|asked| asked.message_id == message_id);
        step.update = asked.map(|_| UpdateEvent::Refused);
    }
}
