//! Records: what the tables hold.

mod access_key;
mod entity;
mod join_token;
mod managed;

pub(crate) use access_key::{AccessKey, KeyStatus, Owner};
pub(crate) use entity::{Entity, Kind, RolePart};
pub(crate) use join_token::JoinToken;
pub(crate) use managed::{InstanceProfile, ManagedPolicy, PolicyVersion, Provider};
