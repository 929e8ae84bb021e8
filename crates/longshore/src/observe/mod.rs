//! Seeing inside: metrics, logs, traces.

pub mod figures;
pub mod metrics;
pub mod process;
pub mod settings;

pub use settings::{ObserveFlags, ObserveSettings};
