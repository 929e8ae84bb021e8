//! AWS protocols, SigV4 and the HTTP edge.
//!
//! One port serves every service. [`Edge`] takes a request off the socket, finds the service and
//! operation, verifies the signature, decodes and checks the input by the model's schema, calls
//! the handler and writes its answer or error in the client's protocol. Types and schemas come
//! from generated crates (`shapes_*`); nothing here knows a service.
//!
//! - [`Service`], [`Operation`], [`Context`], [`ServiceError`]: what handlers meet.
//! - [`Authenticator`]: who may sign; `iam` implements it. [`Auditor`]: who remembers each call.
//! - [`Route`]: paths that are no AWS operation (websockets, `/_longshore/…`).
//! - [`schema`], [`value`], [`protocol`]: the generic codecs. A new protocol is a [`value::Reader`]
//!   and a [`value::Writer`].
//! - [`client`]: the calling half, for the CLI and the agent.
//!
//! **Invariant:** a handler's input satisfies every constraint of its model.
//! **Invariant:** no secret, token or signature is ever logged or echoed.

mod any;
mod audit;
mod auth;
pub mod check;
mod checker;
pub mod client;
mod context;
pub mod document;
pub mod edge;
mod error;
pub mod event_stream;
pub mod protocol;
pub mod schema;
mod servers;
mod service;
pub mod sigv4;
pub mod tls;
mod tree;
pub mod value;

pub use any::Any;
pub use audit::{AuditedCall, Auditor, user_agent};
pub use auth::{Action, Authenticator, CredentialLookup, Decided, Denied, Secret};
pub use check::{Violation, describe as describe_violations};
pub use context::{Caller, CallerKind, Context, RoleSession, UserSession};
pub use edge::{
    Ask, Body, BodySender, BodyWriter, Edge, EdgeBuilder, EdgeLimits, EdgeLoad, Gate, Need,
    Passage, Priority, Route, RouteAuth, RouteRequest, SeatLimits, Unavailable, need_by_name,
};
pub use error::{ErrorModel, ServiceError};
pub use protocol::Protocol;
pub use schema::{Kind, Length, Location, Member, Pattern, Range, Schema, TimestampFormat};
pub use servers::Servers;
pub use service::{Operation, Service, ServiceModel};
pub use value::{Blob, Malformed, Unit};
