//! Decisions against a table, against a second evaluator, and documents of every form.
#![allow(clippy::unwrap_used)]

mod malformed;
mod naive;
mod properties;
mod table;
mod world;
