//! The data plane before targets that do as they are told, over real sockets.
#![allow(clippy::unwrap_used)]

mod changes;
mod desync;
mod failures;
mod logs;
mod requests;
mod secure;
mod shares;
mod streams;
mod usual;
mod world;
