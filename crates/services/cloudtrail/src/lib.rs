//! AWS CloudTrail: every call with who, what, from where, what was decided and what came of it.
//!
//! - [`Trail`] takes calls from the edge ([`wire::Auditor`]) and has them written ([`Trail::run`]).
//! - `trail/`: lines in files, each chained to the one before by its hash; reading, and [`verify`].
//!   Of several servers each has its own; questions go to all of them ([`Others`]).
//! - `model/`: a call in the shape of CloudTrail's records.
//! - `api/`: `LookupEvents` ([`Trail::service`]).
//!
//! It has no tables: what is remembered decides nothing, and is no state of the control plane.
//!
//! **Invariant:** no request waits for the trail. What it cannot keep is counted, and the count is in
//! the chain.
//! **Invariant:** a line that is changed, taken out or put in breaks the chain. What is cut off at its
//! end shows against a hash that was noted before.
//! **Absent on purpose:** trails to buckets, event data stores, insights.

mod api;
mod error;
mod model;
mod trail;

pub use trail::{
    Answer, Entry, Filter, Line, Others, Page, Place, Places, Question, SERVERS_PATH, Silent,
    Start, Trail, TrailError, Verified, places, read, tag, verify, written,
};
