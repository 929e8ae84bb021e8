//! The Linux runtime on a real kernel: run as root.
#![allow(clippy::unwrap_used)]

mod containers;
mod crashes;
mod ground;
mod images;
mod mounts;
mod networks;
mod outputs;
mod vpc;
