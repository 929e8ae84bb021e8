//! One request, from its head to its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use terms::{AccountId, Timestamp, Uuid};
use tracing::{Instrument, field};

use super::gate::{Asking, Gated};
use super::relay::Relayed;
use super::resolve::{Target, of_forms, unknown_operation};
use super::seen::{self, Seen};
use super::{BODY_LIMIT_BYTES, Body, Edge, Inner, Need, Route, RouteAuth, RouteRequest};
use crate::protocol::Form;
use crate::service::{self, Call};
use crate::sigv4::Claim;
use crate::tls::{self, Connection};
use crate::{Caller, CallerKind, Context, Protocol, Service, ServiceError, ServiceModel};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What is known of every request.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    request_id: Uuid,
    now: Timestamp,
    source: Option<SocketAddr>,
}

/// An error with what its form depends on.
struct Refusal {
    error: ServiceError,
    protocol: Protocol,
    service: Option<&'static ServiceModel>,
}

impl Edge {
    /// Answers one request, from a socket or made in memory. `source` is the client's address.
    pub async fn handle<B: Into<Body>>(
        &self,
        request: Request<B>,
        source: Option<SocketAddr>,
    ) -> Response<Body> {
        let request = request.map(Into::into);
        let inner = &*self.0;
        let now = inner.clock.now();
        let arrival = Arrival { request_id: Uuid::from_random(inner.ids.next()), now, source };
        let mut seen = Seen::begin(&request);
        let route = inner.routes.iter().find(|route| route.takes(request.uri().path()));
        let mut response = match route {
            Some(route) => {
                seen.route(route.prefix);
                inner.run_route(route, arrival, request).await
            }
            None => inner.run_call(arrival, request, &mut seen).await,
        };
        seen.answered(&response);
        if response.extensions_mut().remove::<Relayed>().is_some() {
            return response;
        }
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&arrival.request_id.to_string()) {
            headers.insert(REQUEST_ID.clone(), id);
        }
        // From our clock, not hyper's: SDKs correct their skew from it.
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        if let Ok(date) = HeaderValue::from_str(&date) {
            headers.insert(DATE, date);
        }
        response
    }
}

impl Inner {
    async fn run_route(
        &self,
        route: &Route,
        arrival: Arrival,
        request: Request<Body>,
    ) -> Response<Body> {
        let span = tracing::info_span!(
            "route",
            request_id = %arrival.request_id,
            prefix = route.prefix,
            status = field::Empty,
        );
        let response = self.serve_route(route, arrival, request).instrument(span.clone()).await;
        span.record("status", response.status().as_u16());
        response
    }

    async fn serve_route(
        &self,
        route: &Route,
        arrival: Arrival,
        mut request: Request<Body>,
    ) -> Response<Body> {
        let mut upgrade = request
            .headers()
            .contains_key(http::header::UPGRADE)
            .then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let refuse = |error| {
            let protocol = Protocol::AwsJson11;
            respond_error(Refusal { error, protocol, service: None }, arrival)
        };
        let mut body = body;
        if self.gate.is_some() && route.need != Need::Nothing {
            let bytes = match read_body(body).await {
                Ok(bytes) => bytes,
                Err(error) => return refuse(error),
            };
            let protocol = Protocol::AwsJson11;
            let asking =
                Asking { need: route.need, parts: &parts, body: &bytes, upgrade, protocol };
            match self.gate(asking).await {
                Gated::Here(returned) => upgrade = returned,
                Gated::Answered(response) => return response,
                Gated::Refused(error) => return refuse(error),
            }
            body = Body::from(bytes);
        }
        let (body, caller) = match route.auth {
            RouteAuth::Unsigned => (body, None),
            RouteAuth::Signed(service) => {
                let read = self.read_signed(&parts, body, service, arrival.now).await;
                match read {
                    Ok((bytes, caller)) => (Body::from(bytes), Some(caller)),
                    Err(error) => return refuse(error),
                }
            }
        };
        let endpoint = endpoint(&parts);
        let Arrival { request_id, now, source } = arrival;
        (route.handler)(RouteRequest {
            parts,
            body,
            caller,
            upgrade,
            source,
            request_id,
            now,
            endpoint,
        })
        .await
    }

    async fn read_signed(
        &self,
        parts: &Parts,
        body: Body,
        service: &str,
        now: Timestamp,
    ) -> Result<(Bytes, Arc<Caller>), ServiceError> {
        let body = read_body(body).await?;
        let caller = self.caller(parts, &body, Some(service), now, Protocol::AwsJson11)?;
        Ok((body, caller))
    }

    async fn run_call(
        &self,
        arrival: Arrival,
        request: Request<Body>,
        seen: &mut Seen,
    ) -> Response<Body> {
        let span = tracing::info_span!(
            "call",
            request_id = %arrival.request_id,
            service = field::Empty,
            operation = field::Empty,
            caller = field::Empty,
            task = field::Empty,
            started = field::Empty,
            link = seen::link(request.headers()),
            status = field::Empty,
            failed = field::Empty,
        );
        let (parts, body) = request.into_parts();
        let answer = self.answer(&parts, body, arrival, seen).instrument(span.clone()).await;
        let response = match answer {
            Ok(response) => response,
            Err(refusal) => {
                seen.refused(&refusal.error.code);
                span.record("failed", refusal.error.code.as_str());
                let _entered = span.enter();
                tracing::debug!(code = %refusal.error.code, message = %refusal.error.message, "refused");
                respond_error(refusal, arrival)
            }
        };
        span.record("status", response.status().as_u16());
        response
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: Body,
        arrival: Arrival,
        seen: &mut Seen,
    ) -> Result<Response<Body>, Refusal> {
        let Target { mut protocol, mut service, operation } = self.target(parts);
        let refusal = |error, protocol, service: Option<&Service>| Refusal {
            error,
            protocol,
            service: service.map(Service::model),
        };
        let refuse = |error, service| refusal(error, protocol, service);
        check_head(parts).map_err(|error| refuse(error, service))?;
        let bytes = read_body(body).await.map_err(|error| refuse(error, service))?;
        let form = match protocol {
            Protocol::AwsQuery | Protocol::Ec2Query => Some(
                read_form(parts, &bytes)
                    .map_err(|malformed| refuse(protocol.malformed(malformed), service))?,
            ),
            Protocol::AwsJson10 | Protocol::AwsJson11 => None,
        };
        let named = match &form {
            Some(form) => form.get("Action"),
            None => operation.as_deref(),
        };
        if let (None, Some(form)) = (service, &form) {
            service = self.service_of_form(form);
            protocol = service.and_then(of_forms).unwrap_or(protocol);
        }
        let refuse = |error, service| refusal(error, protocol, service);
        let known = service.and_then(|service| {
            let speaks =
                service.model().protocols.iter().any(|p| p.is_json() == protocol.is_json());
            let operation = service.model().operation(named?).filter(|_| speaks)?;
            Some((service, operation))
        });
        let Some((service, operation)) = known else {
            return Err(refuse(unknown_operation(protocol, named), service));
        };
        let model = service.model();
        seen.call(model.name, operation);
        tracing::Span::current().record("service", model.name).record("operation", operation);
        let gated = async || {
            let Some((gate, _)) = &self.gate else { return Ok(None) };
            let need = gate.need_of(model.name, operation, &bytes);
            let asking = Asking { need, parts, body: &bytes, upgrade: None, protocol };
            match self.gate(asking).await {
                Gated::Here(_) => Ok(None),
                Gated::Answered(response) => Ok(Some(response)),
                Gated::Refused(error) => Err(refuse(error, Some(service))),
            }
        };
        if let Some(response) = gated().await? {
            return Ok(response);
        }
        let caller = self
            .caller(parts, &bytes, Some(model.name), arrival.now, protocol)
            .map_err(|error| refuse(error, Some(service)))?;
        tracing::Span::current().record("caller", caller.arn.as_str());
        let Arrival { request_id, now, source } = arrival;
        let context = Context {
            caller,
            request_id,
            now,
            service: model.name,
            operation,
            source,
            endpoint: endpoint(parts),
        };
        let body = form.map_or(service::Body::Bytes(bytes.clone()), service::Body::Form);
        let Some(answer) = service.call(Call { context, protocol, body }) else {
            return Err(refuse(not_implemented(model.name, operation), Some(service)));
        };
        match answer.await {
            Ok(output) => Ok(respond(StatusCode::OK, protocol, output)),
            // The leadership ended meanwhile, and nothing was done: who leads now does it.
            Err(error) if error.is_elsewhere => match gated().await? {
                Some(response) => Ok(response),
                None => Err(refuse(error, Some(service))),
            },
            Err(error) => Err(refuse(error, Some(service))),
        }
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
}

/// Only POST and, for forms, GET reach operations.
fn check_head(parts: &Parts) -> Result<(), ServiceError> {
    if parts.uri.path() != "/" {
        let message = format!(
            "Nothing is served at the path '{}'; AWS calls go to '/'.",
            parts.uri.path().chars().take(128).collect::<String>()
        );
        return Err(ServiceError::new("UnknownOperationException", 404, message));
    }
    match parts.method {
        Method::POST | Method::GET => Ok(()),
        _ => Err(ServiceError::new(
            "MethodNotAllowed",
            405,
            format!("The method {} is not allowed; use POST.", parts.method),
        )),
    }
}

async fn read_body(body: Body) -> Result<Bytes, ServiceError> {
    match tokio::time::timeout(BODY_TIMEOUT, body.collect(BODY_LIMIT_BYTES)).await {
        Ok(read) => read,
        Err(_) => Err(ServiceError::new(
            "RequestTimeoutException",
            408,
            format!("The request body did not arrive within {} seconds.", BODY_TIMEOUT.as_secs()),
        )),
    }
}

/// The form of a call: the body's, or the query string's if the body has none.
fn read_form(parts: &Parts, body: &[u8]) -> Result<Form, crate::Malformed> {
    let query = parts.uri.query().unwrap_or_default();
    Form::parse(if body.is_empty() { query.as_bytes() } else { body })
}

fn endpoint(parts: &Parts) -> String {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    let is_tls = parts.extensions.get::<Connection>().is_some_and(|known| known.is_tls);
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// What an operation that is not built answers (design.md: names and defaults).
fn not_implemented(service: &str, operation: &str) -> ServiceError {
    ServiceError::new(
        "NotImplementedException",
        501,
        format!("Longshore does not implement {service}:{operation} yet; see docs/support.md"),
    )
}

fn respond(status: StatusCode, protocol: Protocol, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(protocol.response_content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn respond_error(refusal: Refusal, arrival: Arrival) -> Response<Body> {
    let Refusal { error, protocol, service } = refusal;
    let body = protocol.encode_error(&error, service, arrival.request_id);
    let mut response = respond(error.http_status(), protocol, body);
    if let Some(time) = error.retry_after {
        // Whole seconds, rounded up: never earlier than advised.
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
