//! Operations, one file or folder a service.

mod assume;
pub(crate) mod iam;
mod sts;
