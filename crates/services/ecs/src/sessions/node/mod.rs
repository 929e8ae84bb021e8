//! The node channel: ours alone, beside Amazon's protocol. Our agent keeps one websocket; over it
//! the server asks for streams and sessions of ECS Exec, which the agent opens as websockets of their own,
//! and tells from which nodes layers of images are to be had.

mod channel;
mod layers;
mod pulls;
mod streams;

pub(crate) use channel::{REQUESTS_MAX, Told, serve};
pub(crate) use layers::{Layers, Letters};
pub(crate) use pulls::Pulls;
pub(crate) use streams::{Expected, GROUPS_MAX, Lines, Opened, StreamError, Streams};
