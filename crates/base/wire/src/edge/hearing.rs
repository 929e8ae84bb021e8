//! What is gathered of a request for the trail, from its head to its answer.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Response};

use super::dispatch::Arrival;
use super::{Body, Inner, Route, RouteAuth};
use crate::audit::{AuditedCall, Heard, user_agent};
use crate::sigv4::Claim;
use crate::tls::Connection;

/// The service of paths of our own.
const OURS: &str = "longshore";

/// One request, as far as its head tells; nothing if nobody keeps a trail.
pub(super) struct Hearing {
    heard: Arc<Heard>,
    user_agent: Option<String>,
    is_tls: bool,
    claimed_key: Option<String>,
    region: Option<String>,
}

impl Inner {
    /// Begins to gather, if somebody keeps it.
    pub(super) fn hear<B>(&self, request: &http::Request<B>) -> Option<Hearing> {
        self.auditor.as_ref()?;
        let (headers, query) = (request.headers(), request.uri().query().unwrap_or_default());
        let (claimed_key, region) = claimed(headers, query);
        let is_tls = request.extensions().get::<Connection>().is_some_and(|known| known.is_tls);
        let user_agent = user_agent(headers);
        Some(Hearing { heard: Arc::default(), user_agent, is_tls, claimed_key, region })
    }

    /// Tells who keeps the trail.
    pub(super) fn tell(&self, hearing: &Hearing, arrival: Arrival<'_>, response: &Response<Body>) {
        let Some(auditor) = &self.auditor else { return };
        let noted = hearing.heard.take();
        // What means no operation of ours is nobody's call.
        let Some((service, operation)) = noted.what else { return };
        let status = response.status();
        let failed = status.is_client_error() || status.is_server_error();
        let unnamed = || (status.as_str().to_owned(), String::new());
        let error = noted.error.or_else(|| failed.then(unnamed));
        let of_scope = hearing.region.as_ref().and_then(|region| region.parse().ok());
        let of_caller = noted.caller.as_ref().map(|caller| caller.region.clone());
        auditor.record(AuditedCall {
            request_id: arrival.request_id,
            at: arrival.now,
            source: arrival.source,
            user_agent: hearing.user_agent.clone(),
            is_tls: hearing.is_tls,
            service,
            operation,
            region: of_caller.or(of_scope).unwrap_or_else(|| self.region.clone()),
            caller: noted.caller,
            claimed_key: hearing.claimed_key.clone(),
            parameters: noted.parameters,
            decided: noted.decided,
            error,
        });
    }
}

impl Hearing {
    /// What handlers add to.
    pub(super) fn heard(&self) -> &Arc<Heard> {
        &self.heard
    }

    /// A request for a route: heard of if it is signed, with the path below its prefix.
    pub(super) fn route(&self, route: &Route, parts: &Parts) {
        if let RouteAuth::Signed(_) = route.auth {
            self.heard.call(OURS, route.prefix);
            let path = parts.uri.path().to_owned();
            self.heard.parameters([("path".to_owned(), path.into())].into_iter().collect());
        }
    }
}

/// The access key id and the region that a request claims to be signed with.
fn claimed(headers: &HeaderMap, query: &str) -> (Option<String>, Option<String>) {
    match Claim::of(headers, query) {
        Ok(Some(claim)) => {
            let key = claim.access_key_id().chars().take(128).collect();
            (Some(key), claim.region().map(str::to_owned))
        }
        _ => (None, None),
    }
}
