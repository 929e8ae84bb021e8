//! Which service and operation a request means, and in which protocol.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;

use super::Inner;
use crate::protocol::Form;
use crate::sigv4::Claim;
use crate::{Protocol, Service, ServiceError};

/// What is known of a call before its body is read.
pub(super) struct Target<'e> {
    pub(super) protocol: Protocol,
    pub(super) service: Option<&'e Service>,
    /// The operation's name as the client sent it in a header; form calls name it in the body.
    pub(super) operation: Option<String>,
}

impl Inner {
    /// What the head of a request says of its target. A form's protocol is AWS Query until its
    /// service is known.
    pub(super) fn target(&self, parts: &Parts) -> Target<'_> {
        if let Some((service, operation)) = rpc_v2(parts) {
            let service = self.by_target.get(service).map(|&index| &self.services[index]);
            let operation = Some(operation.to_owned());
            return Target { protocol: Protocol::RpcV2Cbor, service, operation };
        }
        if let Some(target) = text(&parts.headers, "x-amz-target") {
            let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
            let service = self.by_target.get(prefix).map(|&index| &self.services[index]);
            let protocol = json_version(&parts.headers)
                .or_else(|| preferred(service?))
                .unwrap_or(Protocol::AwsJson11);
            return Target { protocol, service, operation: Some(operation.to_owned()) };
        }
        let service = self.service_of_scope(parts).or_else(|| self.service_of_host(parts));
        let protocol = if let Some(json) = json_version(&parts.headers) {
            json
        } else if is_form(parts) {
            service.and_then(of_forms).unwrap_or(Protocol::AwsQuery)
        } else {
            service.and_then(preferred).unwrap_or(Protocol::AwsJson11)
        };
        Target { protocol, service, operation: None }
    }

    fn service_of_scope(&self, parts: &Parts) -> Option<&Service> {
        let query = parts.uri.query().unwrap_or_default();
        let claim = Claim::of(&parts.headers, query).ok()??;
        self.by_name.get(claim.service()?).map(|&index| &self.services[index])
    }

    /// `sts.us-east-1.amazonaws.com` and `sts.localhost` mean STS.
    fn service_of_host(&self, parts: &Parts) -> Option<&Service> {
        let host = text(&parts.headers, HOST.as_str())
            .or_else(|| parts.uri.authority().map(|authority| authority.as_str()))?;
        let label = host.split('.').next()?;
        self.services.iter().find(|service| service.model().endpoint_prefix == label)
    }

    /// The service that has an operation of a form's name and version, if it is the only one.
    pub(super) fn service_of_form(&self, form: &Form) -> Option<&Service> {
        let action = form.get("Action")?;
        let version = form.get("Version");
        let mut fitting = self.services.iter().filter(|service| {
            let model = service.model();
            of_forms(service).is_some()
                && version.is_none_or(|version| version == model.api_version)
                && model.operation(action).is_some()
        });
        fitting.next().filter(|_| fitting.next().is_none())
    }
}

/// The protocol that a service speaks by choice.
fn preferred(service: &Service) -> Option<Protocol> {
    service.model().protocols.first().copied()
}

/// The protocol in which a service takes forms.
pub(super) fn of_forms(service: &Service) -> Option<Protocol> {
    let mut protocols = service.model().protocols.iter().copied();
    protocols.find(|protocol| protocol.is_form())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn json_version(headers: &HeaderMap) -> Option<Protocol> {
    let media_type = text(headers, CONTENT_TYPE.as_str())?.split(';').next()?.trim();
    let is = |name| media_type.eq_ignore_ascii_case(name);
    if is("application/x-amz-json-1.0") {
        Some(Protocol::AwsJson10)
    } else {
        is("application/x-amz-json-1.1").then_some(Protocol::AwsJson11)
    }
}

/// The service and the operation that Smithy's RPC v2 names in the path.
fn rpc_v2(parts: &Parts) -> Option<(&str, &str)> {
    text(&parts.headers, "smithy-protocol").filter(|name| *name == "rpc-v2-cbor")?;
    parts.uri.path().strip_prefix("/service/")?.split_once("/operation/")
}

/// Whether the request carries a form: in its body, or in its query string.
fn is_form(parts: &Parts) -> bool {
    let content_type = text(&parts.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let in_query = || {
        let query = parts.uri.query().unwrap_or_default();
        query.split('&').any(|pair| pair.starts_with("Action="))
    };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") || in_query()
}

/// The error for an operation that no service has.
pub(super) fn unknown_operation(protocol: Protocol, operation: Option<&str>) -> ServiceError {
    match (!protocol.is_form(), operation) {
        (true, Some(name)) => ServiceError::new(
            "UnknownOperationException",
            400,
            format!("The operation '{}' is not known.", shown(name)),
        ),
        (true, None) => ServiceError::new(
            "UnknownOperationException",
            400,
            "The request names no operation: the header X-Amz-Target is missing.",
        ),
        (false, Some(name)) => ServiceError::new(
            "InvalidAction",
            400,
            format!("The action {} is not valid for this web service.", shown(name)),
        ),
        (false, None) => ServiceError::new(
            "MissingAction",
            400,
            "The request is missing an action or a required parameter: Action.",
        ),
    }
}

/// A client's text, at most this long in an answer.
fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}
