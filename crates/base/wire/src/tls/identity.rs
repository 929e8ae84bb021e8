//! Who stands behind a connection, and what that allows.

use std::fmt;
use std::str::FromStr;

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::{Caller, CallerKind, ServiceError};

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A server of this control plane.
    Server,
    /// The container instance that joined by this name.
    Node(String),
}

/// In a request that one server hands to another: whose certificate came with it at the first.
/// Taken from a server's connection only, and removed from all others.
pub static FORWARDED_IDENTITY: HeaderName = HeaderName::from_static("x-longshore-identity");

/// What our names of owners begin with.
const SCHEME: &str = "longshore:";

impl Identity {
    /// The URI that a certificate of this owner carries.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// The owner that a URI names, if it is one of ours.
    pub(super) fn of_uri(uri: &str) -> Option<Self> {
        uri.strip_prefix(SCHEME)?.parse().ok()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Node(name) => write!(f, "node:{name}"),
        }
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(':') {
            None if text == "server" => Ok(Self::Server),
            Some(("node", name)) if !name.is_empty() => Ok(Self::Node(name.to_owned())),
            _ => Err(()),
        }
    }
}

/// Whether a container instance's key works without its certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// A certificate narrows who may use a key, but none is asked for: Amazon's agent has none.
    #[default]
    Optional,
    /// A container instance's key works only over a connection with its certificate. Operators
    /// and tasks are known by their keys alone: the aws CLI has no certificates.
    Required,
}

/// What is known of a connection; in the extensions of each of its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) is_tls: bool,
    pub(crate) identity: Option<Identity>,
}

/// Puts what is known of its connection into a request.
pub(crate) fn enter<B>(connection: &Connection, request: &mut http::Request<B>) {
    let forwarded = request.headers_mut().remove(&FORWARDED_IDENTITY);
    let mut connection = connection.clone();
    if connection.identity == Some(Identity::Server)
        && let Some(told) = forwarded
    {
        connection.identity = told.to_str().ok().and_then(|told| told.parse().ok());
    }
    request.extensions_mut().insert(connection);
}

impl Identity {
    /// Who stands behind the connection that a request came over, if a certificate says so.
    pub fn of(parts: &Parts) -> Option<&Self> {
        parts.extensions.get::<Connection>()?.identity.as_ref()
    }

    /// The value of [`FORWARDED_IDENTITY`] for a request that is handed on.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.to_string()).ok()
    }
}

/// Refuses a caller whom the connection's certificate speaks against.
pub(crate) fn allows(
    parts: &Parts,
    caller: &Caller,
    policy: ClientCertificates,
) -> Result<(), ServiceError> {
    let CallerKind::Node { name } = &caller.kind else { return Ok(()) };
    let told = match (Identity::of(parts), policy) {
        (Some(Identity::Node(owner)), _) if owner == name => return Ok(()),
        (Some(Identity::Node(owner)), _) => {
            format!("The certificate of this connection is of the container instance '{owner}'")
        }
        (Some(Identity::Server) | None, ClientCertificates::Optional) => return Ok(()),
        (Some(Identity::Server) | None, ClientCertificates::Required) => {
            "The connection has no certificate of a container instance".to_owned()
        }
    };
    let message = format!("{told}; the key is of '{name}'.");
    Err(ServiceError::new("AccessDeniedException", 403, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_back_from_their_names() {
        for identity in [Identity::Server, Identity::Node("a.b_c-1".to_owned())] {
            assert_eq!(Identity::of_uri(&identity.uri()), Some(identity));
        }
        for other in ["", "longshore:", "longshore:node:", "longshore:admin", "spiffe://x/node:a"] {
            assert_eq!(Identity::of_uri(other), None, "{other}");
        }
    }

    #[test]
    fn only_servers_say_for_whom_they_forward() {
        let entered = |identity: Option<Identity>| {
            let mut request = http::Request::new(());
            request.headers_mut().insert(&FORWARDED_IDENTITY, HeaderValue::from_static("node:a"));
            enter(&Connection { is_tls: true, identity }, &mut request);
            assert!(!request.headers().contains_key(&FORWARDED_IDENTITY));
            let (parts, ()) = request.into_parts();
            Identity::of(&parts).cloned()
        };
        let node = |name: &str| Some(Identity::Node(name.to_owned()));
        assert_eq!(entered(Some(Identity::Server)), node("a"));
        assert_eq!(entered(node("b")), node("b"));
        assert_eq!(entered(None), None);
    }
}
