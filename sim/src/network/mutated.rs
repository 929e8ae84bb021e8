//! The server's end of a control channel with a deliberate mistake (see [`Mutation`]).

use agent_protocol::acs::{Ack, AgentMessage, Payload, ServerMessage};
use agent_protocol::task::PayloadTask;
use ecs::{Close, Gone, Received, Transport};
use terms::TaskId;

use crate::mutation::Mutation;
use crate::world::World;

/// A control channel that may be wrong.
pub(super) struct MutatedControl<T> {
    pub(super) inner: T,
    pub(super) world: World,
    /// Acks that the agent never sent.
    pub(super) forged: Vec<Ack>,
}

impl<T> Transport for MutatedControl<T>
where
    T: Transport<In = AgentMessage, Out = ServerMessage>,
{
    type In = AgentMessage;
    type Out = ServerMessage;

    async fn receive(&mut self) -> Received<AgentMessage> {
        match self.forged.pop() {
            Some(ack) => Received::Message(ack.into()),
            None => self.inner.receive().await,
        }
    }

    async fn send(&mut self, message: ServerMessage) -> Result<(), Gone> {
        let one_in_ten = |world: &World| world.draw(|chance| chance.below(10)) == 0;
        if let ServerMessage::Payload(payload) = &message {
            if self.world.is_mutated(Mutation::SwallowsPayloads) && one_in_ten(&self.world) {
                self.forged.push(Ack {
                    cluster: payload.cluster_arn.clone(),
                    container_instance: payload.container_instance_arn.clone(),
                    message_id: payload.message_id.clone(),
                });
                return Ok(());
            }
            if self.world.is_mutated(Mutation::RenamesTasks) {
                let renamed = renamed(payload, &self.world);
                self.inner.send(renamed.into()).await?;
            }
        }
        self.inner.send(message).await
    }

    async fn close(&mut self, close: Close) {
        self.inner.close(close).await;
    }
}

/// The payload, with tasks that nobody made.
fn renamed(payload: &Payload, world: &World) -> Payload {
    let mut copy = payload.clone();
    copy.message_id.push_str("-again");
    for task in &mut copy.tasks {
        if let PayloadTask::Valid(task) = task {
            let number = u128::from(world.draw(crate::chance::Chance::next));
            task.arn.id = TaskId::from_bytes(number.to_be_bytes());
        }
    }
    copy
}
