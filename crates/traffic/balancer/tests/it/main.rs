//! The data plane before targets that do as they are told, over real sockets.
#![allow(clippy::unwrap_used)]

mod changes;
mod desync;
mod failures;
mod requests;
mod secure;
mod streams;
mod world;
