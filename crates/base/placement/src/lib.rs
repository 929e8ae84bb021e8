//! Pure placement: which task goes on which instance, and why not on the others.
//!
//! A [`Fleet`] holds what placement must know of a cluster's instances and is kept by telling it
//! of changes: [`Fleet::upsert`], [`Fleet::remove`], [`Fleet::hold`], [`Fleet::release`].
//! [`Fleet::place`] plans on it; the caller checks the plan again when it commits, with
//! [`Instance::check`] on the instances chosen and on nothing else.
//!
//! The order is ECS's (Developer Guide, "How Amazon ECS places tasks"): instances that can take
//! the task at all, then constraints, which bind, then strategies, each choosing among what the
//! one before left equal, then chance.
//!
//! How it is found: `fleet` keeps instances by `class` (equal attributes) in the orders of `tree`,
//! and tasks by `group`; `choose` walks them for one request (docs/decisions/0013).
//!
//! **Invariant:** nothing here reads a clock, draws a random number of its own or does I/O: the
//! same fleet, request and seed give the same answer.
//!
//! **Invariant:** [`Fleet::place`] never puts on an instance more than it has free.
//!
//! **Invariant:** an order never says less of what is free on an instance than there is; what
//! it finds is checked on the instance itself.

mod arena;
mod choose;
mod class;
mod fleet;
mod group;
mod instance;
mod port;
pub mod query;
mod refusal;
mod refuse;
mod request;
mod room;
mod scale_in;
mod seed;
mod tree;

pub use fleet::{Fleet, Placement};
pub use instance::{Attributes, Availability, Facts, Held, Instance, ZONE};
pub use port::PortSet;
pub use refusal::{Reason, Refusal, count_reasons};
pub use request::{
    Binpack, Constraint, Demand, MAX_STRATEGIES, Request, RequiredAttribute, Spread, Strategy,
};
pub use scale_in::Removable;
