//! One request, from its head to its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{DATE, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use terms::{Timestamp, Uuid};
use tracing::{Instrument, field};

use super::admission::{Seat, throttled};
use super::answering::{Refusal, give, respond_error};
use super::connections::{Exchange, held_response};
use super::gate::{Asking, Gated, Sent};
use super::hearing::Hearing;
use super::lent::Lent;
use super::relay::Relayed;
use super::resolve::{Target, of_forms, unknown_operation};
use super::seen::{self, Seen};
use super::{BODY_LIMIT_BYTES, Body, Edge, Inner, Need, Priority, Route, RouteAuth, RouteRequest};
use crate::audit::{Heard, user_agent};
use crate::protocol::Form;
use crate::service::{self, Answered, Call};
use crate::tls::Connection;
use crate::{Action, Caller, CallerKind, Context, Protocol, Secret, Service, ServiceError};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What is known of every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'e> {
    pub(super) request_id: Uuid,
    pub(super) now: Timestamp,
    pub(super) source: Option<SocketAddr>,
    /// Random: spreads what clients are told to wait.
    pub(super) jitter: u8,
    /// None if the request was made in memory.
    pub(super) exchange: Option<&'e Exchange>,
    /// What is gathered of it, if somebody keeps that.
    pub(super) heard: Option<&'e Heard>,
}

/// A call that was understood.
struct Meant<'e> {
    service: &'e Service,
    operation: &'static str,
    protocol: Protocol,
    bytes: Bytes,
    form: Option<Form>,
}

impl Edge {
    /// Answers one request, from a socket or made in memory. `source` is the client's address.
    pub async fn handle<B: Into<Body>>(
        &self,
        request: Request<B>,
        source: Option<SocketAddr>,
    ) -> Response<Body> {
        let mut request = request.map(Into::into);
        let inner = &*self.0;
        let now = inner.clock.now();
        let exchange = request.extensions_mut().remove::<Arc<Exchange>>();
        let id = inner.ids.next();
        let (request_id, jitter) = (Uuid::from_random(id), id[15]);
        let hearing = inner.hear(&request);
        let heard = hearing.as_ref().map(|hearing| &**hearing.heard());
        let exchanged = exchange.as_deref();
        let arrival = Arrival { request_id, now, source, jitter, exchange: exchanged, heard };
        let mut seen = Seen::begin(&request);
        let route = inner.routes.iter().find(|route| route.takes(request.uri().path()));
        let mut response = match route {
            Some(route) => {
                seen.route(route.prefix);
                inner.run_route(route, arrival, request, hearing.as_ref()).await
            }
            None => inner.run_call(arrival, request, (&mut seen, hearing.as_ref())).await,
        };
        seen.answered(&response, arrival.request_id);
        // What another server answered is that one's to remember.
        if response.extensions_mut().remove::<Relayed>().is_none() {
            mark(&mut response, arrival);
            if let Some(hearing) = &hearing {
                inner.tell(hearing, arrival, &response);
            }
        }
        let connections = &inner.connections;
        response.map(|body| {
            body.map_full(|bytes| held_response(connections, exchange.as_deref(), bytes))
                .answering(exchange)
        })
    }
}

/// Puts on an answer what every answer of ours has.
fn mark(response: &mut Response<Body>, arrival: Arrival<'_>) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id.to_string()) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    // From our clock, not hyper's: SDKs correct their skew from it.
    let seconds = u64::try_from(arrival.now.seconds()).unwrap_or(0);
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert(DATE, date);
    }
}

impl Inner {
    async fn run_route(
        &self,
        route: &Route,
        arrival: Arrival<'_>,
        request: Request<Body>,
        hearing: Option<&Hearing>,
    ) -> Response<Body> {
        let span = tracing::info_span!(
            "route",
            request_id = %arrival.request_id,
            prefix = route.prefix,
            status = field::Empty,
        );
        let serving = self.serve_route(route, arrival, request, hearing);
        let response = serving.instrument(span.clone()).await;
        span.record("status", response.status().as_u16());
        response
    }

    async fn serve_route(
        &self,
        route: &Route,
        arrival: Arrival<'_>,
        mut request: Request<Body>,
        hearing: Option<&Hearing>,
    ) -> Response<Body> {
        if route.auth == RouteAuth::Handler {
            return self.hand_over(route, arrival, request).await;
        }
        let mut upgrade = request
            .headers()
            .contains_key(http::header::UPGRADE)
            .then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        if let Some(hearing) = hearing {
            hearing.route(route, &parts);
        }
        let refuse = |error| {
            let protocol = Protocol::AwsJson11;
            if let Some(hearing) = hearing {
                hearing.heard().refused(&error);
            }
            respond_error(Refusal { error, protocol, service: None }, arrival)
        };
        let body = match self.read_body(body, BODY_LIMIT_BYTES, arrival).await {
            Ok(body) => body,
            Err(error) => return refuse(error),
        };
        if self.gate.is_some() && route.need != Need::Nothing {
            let protocol = Protocol::AwsJson11;
            let asking = Asking {
                need: route.need,
                parts: &parts,
                body: Sent::Whole(&body),
                source: arrival.source,
                upgrade,
                protocol,
            };
            match self.gate(asking).await {
                Gated::Here(returned) => upgrade = returned,
                Gated::Answered(response) => return response,
                Gated::Refused(error) => return refuse(error),
            }
        }
        let caller = match self.caller_of_route(route, &parts, &body, arrival).await {
            Ok(caller) => caller,
            Err(error) => return refuse(error),
        };
        let priority = route.priority.or_else(|| caller.as_deref().map(Priority::of));
        let priority = priority.unwrap_or(Priority::Agents);
        let _seat = match self.admit(priority, caller.as_deref(), arrival).await {
            Ok(seat) => seat,
            Err(full) => {
                self.admission.hold().await;
                return refuse(throttled(Protocol::AwsJson11, full));
            }
        };
        let endpoint = endpoint(&parts);
        let Arrival { request_id, now, source, .. } = arrival;
        let body = Body::from(body);
        let request =
            RouteRequest { parts, body, caller, upgrade, source, request_id, now, endpoint };
        let limit = self.connections.limits.request;
        match tokio::time::timeout(limit, (route.handler)(request)).await {
            Ok(response) => response,
            Err(_) => refuse(too_late(limit)),
        }
    }

    /// Leaves a request to its route's handler, body and all.
    async fn hand_over(
        &self,
        route: &Route,
        arrival: Arrival<'_>,
        request: Request<Body>,
    ) -> Response<Body> {
        // The handler bounds how long the body takes: the connection is at work.
        if let Some(exchange) = arrival.exchange {
            exchange.work();
        }
        let (parts, mut body) = request.into_parts();
        if let (Some(sharing), Some(_)) = (&route.sharing, &self.gate) {
            let lent = Lent::new(body);
            let asking = Asking {
                need: (sharing.need)(&parts),
                parts: &parts,
                body: Sent::Stream(&lent),
                source: arrival.source,
                upgrade: None,
                protocol: Protocol::AwsJson11,
            };
            match self.gate(asking).await {
                Gated::Here(_) => body = lent.back(),
                Gated::Answered(response) => return response,
                Gated::Refused(error) => return (sharing.refuse)(&error),
            }
        }
        let endpoint = endpoint(&parts);
        let Arrival { request_id, now, source, .. } = arrival;
        let (caller, upgrade) = (None, None);
        let request =
            RouteRequest { parts, body, caller, upgrade, source, request_id, now, endpoint };
        (route.handler)(request).await
    }

    async fn run_call(
        &self,
        arrival: Arrival<'_>,
        request: Request<Body>,
        (seen, hearing): (&mut Seen, Option<&Hearing>),
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
        let answer = self.answer(&parts, body, arrival, (&mut *seen, hearing));
        let answer = answer.instrument(span.clone()).await;
        let response = match answer {
            Ok(response) => response,
            Err(refusal) => {
                seen.refused(&refusal.error.code);
                if let Some(hearing) = hearing {
                    hearing.heard().refused(&refusal.error);
                }
                span.record("failed", refusal.error.code.as_str());
                let _entered = span.enter();
                tracing::debug!(code = %refusal.error.code, message = %refusal.error.message, "refused");
                respond_error(refusal, arrival)
            }
        };
        span.record("status", response.status().as_u16());
        response
    }

    /// What a request means, with its body read.
    async fn understand(
        &self,
        parts: &Parts,
        body: Body,
        arrival: Arrival<'_>,
    ) -> Result<Meant<'_>, Refusal> {
        let Target { mut protocol, mut service, operation } = self.target(parts);
        let refusal = |error, protocol, service: Option<&Service>| Refusal {
            error,
            protocol,
            service: service.map(Service::model),
        };
        let refuse = |error, service| refusal(error, protocol, service);
        check_head(parts, protocol).map_err(|error| refuse(error, service))?;
        let limit = service.map_or(BODY_LIMIT_BYTES, Service::body_limit_bytes);
        let bytes =
            self.read_body(body, limit, arrival).await.map_err(|error| refuse(error, service))?;
        let form = match protocol {
            Protocol::AwsQuery | Protocol::Ec2Query => Some(
                read_form(parts, &bytes)
                    .map_err(|malformed| refuse(protocol.malformed(malformed), service))?,
            ),
            Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RpcV2Cbor => None,
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
                service.model().protocols.iter().any(|p| p.is_form() == protocol.is_form());
            let operation = service.model().operation(named?).filter(|_| speaks)?;
            Some((service, operation))
        });
        let Some((service, operation)) = known else {
            return Err(refuse(unknown_operation(protocol, named), service));
        };
        Ok(Meant { service, operation, protocol, bytes, form })
    }

    /// Who makes a call, if it may be made at all.
    async fn caller_of_call(
        &self,
        parts: &Parts,
        meant: &Meant<'_>,
        arrival: Arrival<'_>,
    ) -> Result<Arc<Caller>, ServiceError> {
        let Meant { service, operation, protocol, bytes, .. } = meant;
        let name = service.model().name;
        if service.takes_unsigned(operation) {
            let caller = self.anyone(parts, CallerKind::Anonymous);
            if let Some(heard) = arrival.heard {
                heard.caller(&caller);
            }
            return Ok(caller);
        }
        let action = Action::Operation(name, operation);
        self.authenticated(parts, bytes, (name, action), arrival, *protocol).await
    }

    /// Has the handler do its work, within the time that there is.
    async fn work(
        &self,
        service: &Service,
        call: Call,
        seat: Seat,
    ) -> Result<Answered, ServiceError> {
        let operation = call.context.operation;
        let work = async {
            match service.call(call) {
                Some(answer) => answer.await,
                None => Err(not_implemented(service.model().name, operation)),
            }
        };
        let limit = self.connections.limits.request;
        let answer = tokio::time::timeout(limit, seat.work(work)).await;
        drop(seat);
        answer.unwrap_or_else(|_| Err(too_late(limit)))
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: Body,
        arrival: Arrival<'_>,
        (seen, hearing): (&mut Seen, Option<&Hearing>),
    ) -> Result<Response<Body>, Refusal> {
        let meant = self.understand(parts, body, arrival).await?;
        let (service, operation, protocol) = (meant.service, meant.operation, meant.protocol);
        let (model, bytes) = (service.model(), meant.bytes.clone());
        let refuse = |error| Refusal { error, protocol, service: Some(model) };
        seen.call(model.name, operation);
        if let Some(hearing) = hearing {
            hearing.heard().call(model.name, operation);
        }
        tracing::Span::current().record("service", model.name).record("operation", operation);
        let gated = async || {
            let Some((gate, _)) = &self.gate else { return Ok(None) };
            let need = gate.need_of(model.name, operation, &bytes);
            let asking = Asking {
                need,
                parts,
                body: Sent::Whole(&bytes),
                source: arrival.source,
                upgrade: None,
                protocol,
            };
            match self.gate(asking).await {
                Gated::Here(_) => Ok(None),
                Gated::Answered(response) => Ok(Some(response)),
                Gated::Refused(error) => Err(refuse(error)),
            }
        };
        if let Some(response) = gated().await? {
            return Ok(response);
        }
        let caller = self.caller_of_call(parts, &meant, arrival).await.map_err(refuse)?;
        tracing::Span::current().record("caller", caller.arn.as_str());
        let seat = match self.admit(Priority::of(&caller), Some(&caller), arrival).await {
            Ok(seat) => seat,
            Err(full) => {
                drop((bytes, meant));
                self.admission.hold().await;
                return Err(refuse(throttled(protocol, full)));
            }
        };
        let Arrival { request_id, now, source, .. } = arrival;
        let context = Context {
            caller,
            request_id,
            now,
            service: model.name,
            operation,
            source,
            user_agent: user_agent(&parts.headers),
            session_token: session_token(&parts.headers),
            endpoint: endpoint(parts),
        };
        let body = meant.form.map_or(service::Body::Bytes(bytes.clone()), service::Body::Form);
        let authenticator = Arc::clone(&self.authenticator);
        let heard = hearing.map(|hearing| Arc::clone(hearing.heard()));
        let call = Call { context, protocol, body, authenticator, heard };
        match self.work(service, call, seat).await {
            Ok(answered) => Ok(give(protocol, answered)),
            // The leadership ended meanwhile, and nothing was done: who leads now does it.
            Err(error) if error.is_elsewhere => match gated().await? {
                Some(response) => Ok(response),
                None => Err(refuse(error)),
            },
            Err(error) => Err(refuse(error)),
        }
    }
}

/// The token that came with temporary credentials.
fn session_token(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get("x-amz-security-token")?.to_str().ok()?;
    Some(Secret::new(value))
}

/// Only POST and, for forms, GET reach operations.
fn check_head(parts: &Parts, protocol: Protocol) -> Result<(), ServiceError> {
    if parts.uri.path() != "/" && protocol != Protocol::RpcV2Cbor {
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

/// The answer to a request that took too long; it may have been done nonetheless, so it is no 503.
fn too_late(limit: Duration) -> ServiceError {
    ServiceError::new(
        "ServerException",
        504,
        format!("The request was not answered within {} seconds.", limit.as_secs()),
    )
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
