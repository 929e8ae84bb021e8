//! Records: what the tables hold.

mod access_key;
mod join_token;

pub(crate) use access_key::{AccessKey, KeyStatus, Owner};
pub(crate) use join_token::JoinToken;
