//! Records.

mod event;
mod identity;
mod resource;

pub(crate) use event::{of_call, of_ours, username};
pub(crate) use resource::resources;
