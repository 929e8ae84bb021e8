//! Amazon EventBridge: event buses, rules, patterns, schedules, delivery.

pub mod paging;
mod tables;

pub use tables::Scope;
