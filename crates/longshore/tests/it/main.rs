//! Whole-system tests: the real binary, the real `aws` CLI, real containers. They need root.
#![allow(clippy::unwrap_used)]

mod harness;
mod tasks;
