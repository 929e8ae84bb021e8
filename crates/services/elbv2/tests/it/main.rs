//! What clients ask of load balancing, and what they are told.
#![allow(clippy::unwrap_used)]

mod balancers;
mod golden;
mod world;
