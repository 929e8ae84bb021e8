//! Layers of images from node to node: which node has which layer, from whom each node fetches
//! what it lacks, and what a node is shown before it hands a layer out.
//!
//! - [`Tracker`]: the control plane's view, in memory alone. It names a node that has the layer, or
//!   lets a few ask the registry and has the others wait for them.
//! - [`TicketKey`]: a node's secret, by which the control plane writes tickets that only this
//!   node takes: each for one layer, one node and a short time.
//! - [`repository_of`]: what a layer is kept apart by. Nodes that may pull from one repository are
//!   told nothing of others.
//!
//! **Invariants:** nothing here does I/O or reads a clock. Of one layer of one repository at most
//! [`LEASES_MAX`] nodes ask the registry at a time, and in all no more than that and as many as were
//! lost. Whoever waits, waits for somebody who is at work: every piece of work has an end.

mod repository;
mod ticket;
mod tracker;

pub use repository::repository_of;
pub use ticket::{ParseKeyError, TicketError, TicketKey};
pub use tracker::{
    Answer, Ending, LEASES_MAX, LayerKey, Source, Tracker, Trouble, UPLOADS_MAX, Want, allowed,
};
