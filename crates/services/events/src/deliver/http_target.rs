//! HTTP(S) endpoints: each event is a POST of its payload.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use shapes_events as shapes;
use tokio::task::JoinSet;
use wire::tls::{Connector, TlsClient};

use super::Target;
use crate::model::{Delivery, Failure};

/// How long an endpoint may take, as EventBridge gives API destinations (user guide).
const TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that one batch has under way at once.
const AT_ONCE: usize = 8;

/// Posts to URLs. Authorities of TLS are those of the machine.
#[derive(Clone, Default)]
pub struct HttpTarget {
    /// Made when it is first needed, for the machine's authorities take a while to read.
    client: Arc<OnceLock<Client<Connector, Full<Bytes>>>>,
}

impl HttpTarget {
    fn client(&self) -> &Client<Connector, Full<Bytes>> {
        self.client.get_or_init(|| {
            let mut connector = HttpConnector::new();
            connector.set_connect_timeout(Some(TIMEOUT));
            let connector = TlsClient::system().connector(connector);
            Client::builder(TokioExecutor::new()).build(connector)
        })
    }
}

#[async_trait]
impl Target for HttpTarget {
    fn takes(&self, arn: &str) -> bool {
        arn.starts_with("http://") || arn.starts_with("https://")
    }

    fn check(&self, target: &shapes::Target) -> Result<(), (String, String)> {
        let wrong = |text: String| Err(("ValidationException".to_owned(), text));
        if target.arn.parse::<Uri>().ok().is_none_or(|uri| uri.authority().is_none()) {
            return wrong(format!("Parameter {} is not valid. Reason: it is no URL.", target.arn));
        }
        match request(&target.arn, target.http_parameters.as_ref(), String::new()) {
            Ok(_) => Ok(()),
            Err(text) => wrong(text),
        }
    }

    /// Several at once, so that a slow endpoint does not make its lane slow; their order is kept
    /// only as far as the endpoint answers in time.
    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let mut outcomes =
            vec![Err(Failure::passing("Canceled", "It was not sent.")); deliveries.len()];
        let (mut calls, mut waiting) = (JoinSet::new(), deliveries.iter().cloned().enumerate());
        loop {
            while calls.len() < AT_ONCE
                && let Some((index, delivery)) = waiting.next()
            {
                let this = self.clone();
                calls.spawn(async move { (index, this.post(&delivery).await) });
            }
            match calls.join_next().await {
                Some(Ok((index, outcome))) => outcomes[index] = outcome,
                Some(Err(error)) => tracing::error!(%error, "a call ended in an unforeseen way"),
                None => return outcomes,
            }
        }
    }
}

impl HttpTarget {
    async fn post(&self, delivery: &Delivery) -> Result<(), Failure> {
        let parameters = delivery.target.http_parameters.as_ref();
        let request = request(delivery.arn(), parameters, delivery.payload.clone())
            .map_err(|text| Failure::lasting("ValidationException", text))?;
        let answer = match tokio::time::timeout(TIMEOUT, self.client().request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let text = cause.unwrap_or_else(|| error.to_string());
                return Err(Failure::passing("ConnectionError", text));
            }
            Err(_) => {
                let text = format!("No answer within {} s.", TIMEOUT.as_secs());
                return Err(Failure::passing("Timeout", text));
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let (code, text) =
            (status.as_u16().to_string(), format!("The endpoint answered {status}."));
        let may_pass = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT
            );
        Err(if may_pass { Failure::passing(code, text) } else { Failure::lasting(code, text) })
    }
}

/// The request that carries a payload; the text of what is wrong otherwise.
fn request(
    url: &str,
    parameters: Option<&shapes::HttpParameters>,
    payload: String,
) -> Result<Request<Full<Bytes>>, String> {
    let mut url = url.to_owned();
    for value in
        parameters.and_then(|given| given.path_parameter_values.as_ref()).into_iter().flatten()
    {
        url = url.replacen('*', value, 1);
    }
    let query = parameters.and_then(|given| given.query_string_parameters.as_ref());
    for (name, value) in query.into_iter().flatten() {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{}={}", encoded(name), encoded(value)));
    }
    let uri: Uri = url.parse().map_err(|_| format!("{url} is no URL."))?;
    let is_json = serde_json::from_str::<serde_json::Value>(&payload).is_ok();
    let mut request = Request::new(Full::new(Bytes::from(payload)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let kind =
        if is_json { "application/json; charset=utf-8" } else { "text/plain; charset=utf-8" };
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // As EventBridge names itself to API destinations.
    headers.insert(USER_AGENT, HeaderValue::from_static("Amazon/EventBridge/ApiDestinations"));
    let given = parameters.and_then(|given| given.header_parameters.as_ref());
    for (name, value) in given.into_iter().flatten() {
        let bad = |_| format!("The header {name} is not valid.");
        let name =
            name.parse::<HeaderName>().map_err(|_| format!("The header {name} is not valid."))?;
        headers.insert(name.clone(), value.parse().map_err(bad)?);
    }
    Ok(request)
}

/// A part of a query string.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into());
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Shared like every target.
impl From<HttpTarget> for Arc<dyn Target> {
    fn from(target: HttpTarget) -> Self {
        Arc::new(target)
    }
}
