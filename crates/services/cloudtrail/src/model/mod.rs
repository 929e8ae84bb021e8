//! Records.

mod event;
mod identity;

pub(crate) use event::{of_call, of_ours, username};
