//! The Linux runtime on a real kernel: run as root.
#![allow(clippy::unwrap_used)]

mod containers;
mod crashes;
mod ground;
mod images;
mod networks;
mod outputs;
mod vpc;
