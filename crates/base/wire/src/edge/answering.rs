//! The form of answers: outputs, streams and errors, in the client's protocol.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::Body;
use super::dispatch::Arrival;
use super::relay::ELSEWHERE;
use crate::service::Answered;
use crate::{Protocol, ServiceError, ServiceModel, event_stream};

/// Milliseconds that a client is to wait before another try; what AWS's SDKs read.
static AMZ_RETRY_AFTER: HeaderName = HeaderName::from_static("x-amz-retry-after");

/// The protocol's name, in requests and answers of Smithy's RPC v2.
static SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");

/// The code that an error has in Query, for clients that moved on from there (Smithy's
/// `awsQueryCompatible`).
static QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// An error with what its form depends on.
pub(super) struct Refusal {
    pub(super) error: ServiceError,
    pub(super) protocol: Protocol,
    pub(super) service: Option<&'static ServiceModel>,
}

fn respond(status: StatusCode, protocol: Protocol, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(protocol.response_content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if protocol == Protocol::RpcV2Cbor {
        let named = HeaderValue::from_static("rpc-v2-cbor");
        response.headers_mut().insert(SMITHY_PROTOCOL.clone(), named);
    }
    response
}

pub(super) fn give(protocol: Protocol, answered: Answered) -> Response<Body> {
    let events = match answered {
        Answered::Output(output) => return respond(StatusCode::OK, protocol, output),
        Answered::Events(events) => events,
    };
    let mut response = Response::new(events);
    let content_type = HeaderValue::from_static(event_stream::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

pub(super) fn respond_error(refusal: Refusal, arrival: Arrival<'_>) -> Response<Body> {
    let Refusal { mut error, protocol, service } = refusal;
    let query_code = service
        .filter(|service| service.is_query_compatible() && !protocol.is_form())
        .map(|service| {
            let name = service.error_name(&error.code).to_owned();
            std::mem::replace(&mut error.code, name)
        });
    let body = protocol.encode_error(&error, service, arrival.request_id);
    let mut response = respond(error.http_status(), protocol, body);
    if let Some(code) = query_code {
        let side = if error.status < 500 { "Sender" } else { "Receiver" };
        if let Ok(value) = HeaderValue::from_str(&format!("{code};{side}")) {
            response.headers_mut().insert(QUERY_ERROR.clone(), value);
        }
    }
    if error.is_elsewhere {
        response.headers_mut().insert(ELSEWHERE.clone(), HeaderValue::from_static("true"));
    }
    if let Some(wait) = error.retry_after {
        let headers = response.headers_mut();
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        headers.insert(AMZ_RETRY_AFTER.clone(), HeaderValue::from(ms));
        // Whole seconds, rounded up: never earlier than advised.
        headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    response
}
