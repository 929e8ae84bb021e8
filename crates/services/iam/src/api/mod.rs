//! Operations, one file or folder a service.

mod assume;
mod granting;
pub(crate) mod iam;
mod session_tokens;
mod sts;
pub(crate) mod web_identity;
