//! One file for each command of the `longshore` binary.

pub mod agent;
pub mod completions;
pub mod config;
pub mod debug;
pub mod deploy;
pub mod diff;
pub mod doctor;
pub mod down;
pub mod history;
pub mod image;
pub mod import;
pub mod init;
pub mod logs;
pub mod man;
pub mod plan;
pub mod profile;
pub mod run;
pub mod server;
pub mod status;
pub mod stop;
pub mod store;
pub mod token;
pub mod top;
pub mod up;
pub mod version;
pub mod why;
