//! Linearizability: what concurrent clients saw of several servers, whatever happened to these,
//! could have happened one by one.
//!
//! - `checker`: decides it for a history (Wing and Gong's search, with Lowe's memory of states).
//! - `models`: the objects whose histories are recorded, as one thread would use them.
//! - `record`: clients that call real servers and write down what they saw.
//! - `histories`: the tests.

mod checker;
mod histories;
mod models;
mod record;

pub use record::client;
