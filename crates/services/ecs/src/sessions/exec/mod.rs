//! Sessions of ECS Exec on the server: who may open which, and the meeting of the two ends of each.
//!
//! The server reads nothing of what goes through but the types of messages
//! (`agent_protocol::exec`): acknowledgements, order and repetition are between the ends. So it
//! holds nothing of a session but its row, and a session goes on after the server was replaced.

mod end;
mod meeting;
mod routes;
mod store;

pub(crate) use meeting::Meetings;
pub(crate) use routes::CLIENTS_MAX;
pub(crate) use store::{Opening, SessionKey};
