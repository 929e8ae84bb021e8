//! What every request passes before it is worked on: its body is read, its caller known, and a
//! seat found for it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use terms::{AccountId, Timestamp};

use super::admission::{Seat, Throttled};
use super::dispatch::Arrival;
use super::receive::receive;
use super::{Body, Inner, Priority, Route, RouteAuth};
use crate::sigv4::Claim;
use crate::tls;
use crate::{Action, Caller, CallerKind, Protocol, ServiceError};

impl Inner {
    /// The request's body; from here on the connection is not closed to make room.
    pub(super) async fn read_body(
        &self,
        body: Body,
        limit_bytes: usize,
        arrival: Arrival<'_>,
    ) -> Result<Bytes, ServiceError> {
        let body = receive(&self.connections, arrival.exchange, body, limit_bytes).await?;
        if let Some(exchange) = arrival.exchange {
            exchange.work();
        }
        Ok(body)
    }

    /// Who calls a route; none if it is for anyone.
    pub(super) async fn caller_of_route(
        &self,
        route: &Route,
        parts: &Parts,
        body: &[u8],
        arrival: Arrival<'_>,
    ) -> Result<Option<Arc<Caller>>, ServiceError> {
        let RouteAuth::Signed(service) = route.auth else { return Ok(None) };
        let protocol = Protocol::AwsJson11;
        let action = Action::Route(route.prefix);
        self.authenticated(parts, body, (service, action), arrival, protocol).await.map(Some)
    }

    /// A seat for the request, in its client's turn: that of a key, or of an address.
    pub(super) async fn admit(
        &self,
        priority: Priority,
        caller: Option<&Caller>,
        arrival: Arrival<'_>,
    ) -> Result<Seat, Throttled> {
        if priority == Priority::Api && !self.connections.has_room_for_answers().await {
            return Err(self.admission.refuse(priority, arrival.jitter));
        }
        let key = caller.map(|caller| caller.access_key_id.as_str());
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            return self.admission.admit(priority, key, arrival.jitter).await;
        }
        let address = arrival.source.map(|source| source.ip().to_string()).unwrap_or_default();
        self.admission.admit(priority, &address, arrival.jitter).await
    }

    /// Who calls, if it may do that. A connection that fails too often is answered late.
    pub(super) async fn authenticated(
        &self,
        parts: &Parts,
        body: &[u8],
        (service, action): (&str, Action<'_>),
        arrival: Arrival<'_>,
        protocol: Protocol,
    ) -> Result<Arc<Caller>, ServiceError> {
        let caller = self.caller(parts, body, Some(service), arrival.now, protocol);
        let caller = caller.and_then(|caller| {
            if let Some(heard) = arrival.heard {
                heard.caller(&caller);
            }
            let may = self.authenticator.may(&caller, action);
            if may { Ok(caller) } else { Err(denied(&caller, action)) }
        });
        match (&caller, arrival.exchange) {
            (Ok(_), Some(exchange)) => exchange.authenticated(),
            (Err(_), Some(exchange)) if exchange.failed() => self.admission.hold().await,
            _ => {}
        }
        caller
    }

    /// Who calls, if the signature is right or the server is open.
    fn caller(
        &self,
        parts: &Parts,
        body: &[u8],
        service: Option<&str>,
        now: Timestamp,
        protocol: Protocol,
    ) -> Result<Arc<Caller>, ServiceError> {
        if self.open {
            return Ok(self.open_caller(parts, now));
        }
        let caller = self
            .verifier
            .verify(&*self.authenticator, parts, body, service, now)
            .map_err(|error| error.in_protocol(protocol))?;
        tls::allows(parts, &caller, self.client_certificates)?;
        Ok(caller)
    }

    /// Who calls an open server: the key's owner if it is known, else anyone.
    fn open_caller(&self, parts: &Parts, now: Timestamp) -> Arc<Caller> {
        let claim = Claim::of(&parts.headers, parts.uri.query().unwrap_or_default());
        let claim = claim.ok().flatten();
        let region = claim.as_ref().and_then(|claim| claim.region()?.parse().ok());
        let region = region.unwrap_or_else(|| self.region.clone());
        let key = claim.as_ref().map(Claim::access_key_id).unwrap_or_default();
        let token = claim.as_ref().and_then(Claim::token);
        if let crate::CredentialLookup::Found { caller, .. } =
            self.authenticator.find(key, token, &region, now)
        {
            return caller;
        }
        let account = key.parse::<AccountId>().unwrap_or_else(|_| self.account.clone());
        Arc::new(Caller {
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_string(),
            account,
            region,
            access_key_id: key.to_owned(),
            kind: CallerKind::Open,
        })
    }

    /// Nobody known, in the home account; a signature is not looked at.
    pub(super) fn anyone(&self, parts: &Parts, kind: CallerKind) -> Arc<Caller> {
        let claim = Claim::of(&parts.headers, parts.uri.query().unwrap_or_default());
        let region = claim.ok().flatten().and_then(|claim| claim.region()?.parse().ok());
        Arc::new(Caller {
            account: self.account.clone(),
            region: region.unwrap_or_else(|| self.region.clone()),
            arn: "anonymous".to_owned(),
            user_id: "anonymous".to_owned(),
            access_key_id: String::new(),
            kind,
        })
    }
}

/// What a caller is told that may not do something at all (IAM's wording).
fn denied(caller: &Caller, action: Action<'_>) -> ServiceError {
    let why = match action {
        Action::Route(_) => "only operators may, and whom policies let (docs/guides/roles.md)",
        Action::Operation(..) => "a key of this kind may not",
    };
    let message =
        format!("User: {} is not authorized to perform: {action} because {why}", caller.arn);
    ServiceError::new("AccessDeniedException", 403, message)
}

/// The bytes of a request's head, about.
pub(super) fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, str::len);
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    target + headers.sum::<usize>()
}

/// The answer when there is not even memory for a head.
pub(super) fn no_memory() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
    response
}
