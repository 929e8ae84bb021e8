//! One file for each command of the `longshore` binary.

pub mod config;
pub mod doctor;
