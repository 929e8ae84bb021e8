//! The container agent: protocol, task engine, local endpoints.
