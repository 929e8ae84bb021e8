//! The data plane before targets that do as they are told, over real sockets.
#![allow(clippy::unwrap_used)]

mod attacks;
mod changes;
mod conversations;
mod desync;
mod failures;
mod frames;
mod logs;
mod modern;
mod requests;
mod secure;
mod shares;
mod streams;
mod usual;
mod windows;
mod world;
