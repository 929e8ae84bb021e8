//! Operations, one file a service.

mod sts;
