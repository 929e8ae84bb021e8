//! The wire as clients meet it: signatures, malformed requests, sockets, codecs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod codecs;
mod ec2;
mod files;
mod gates;
mod generated;
mod hostile;
mod malformed;
mod raw;
mod refusals;
mod signatures;
mod sockets;
mod stage;
