//! The policy language of IAM: documents are parsed and compiled once, requests are decided against
//! them, and each decision tells what it rests on.
//!
//! - [`Policy`]: a compiled document; [`Malformed`] names what is wrong with a text and where.
//! - [`decide`]: the order of evaluation over the [`PolicySets`] that bear on a [`Request`].
//! - [`explain`]: every statement that applied, for simulations and for people.
//! - [`Decision::tail`]: why not, in the words that AWS's clients show.
//!
//! **Invariant:** nothing here reads a clock, does I/O or panics, whatever the document says.
//! **Invariant:** substituted values are literal: a tag's `*` never becomes a wildcard.
//! **Absent on purpose:** policies of organisations.

mod arn;
mod condition;
mod context;
mod date;
mod decide;
mod document;
mod glob;
mod json;
mod malformed;
mod message;
mod policy;
mod principal;
mod rules;
mod statement;

pub use arn::Arn;
pub use context::{Context, Values};
pub use decide::{
    Cause, Decision, Match, Outcome, PolicySets, Request, Set, Source, decide, explain,
};
pub use document::{Named, size_of};
pub use malformed::{Malformed, Position};
pub use policy::{Kind, Policy};
pub use principal::{Principal, PrincipalKind};
pub use statement::Effect;
