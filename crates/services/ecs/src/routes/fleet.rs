//! `/_longshore/fleet`: the nodes of the operator's own that Fargate tasks run on. What
//! `longshore fleet` shows and drains.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::{Body, Route, RouteAuth, RouteRequest};

use super::{answer, refuse, scope, told};
use crate::api::Api;
use crate::fleet::{self, Node};

/// The path.
const PATH: &str = "/_longshore/fleet";
/// The longest body, in bytes.
const MAX_BYTES: usize = 4 * 1024;

/// What a POST asks for.
#[derive(Debug, Deserialize)]
struct Asked {
    /// The node's name or id.
    node: String,
    /// What it is to be: `ACTIVE`, `DRAINING`, or `INACTIVE`, which takes it out of the fleet.
    status: String,
    /// Whether it is taken out though tasks run on it.
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Serialize)]
struct Told {
    nodes: Vec<Node>,
}

/// The route.
pub(crate) fn route(api: Arc<Api>) -> Route {
    Route::new(PATH, RouteAuth::Signed("ecs"), move |request| {
        let api = api.clone();
        async move { serve(&api, request).await }
    })
}

async fn serve(api: &Api, request: RouteRequest) -> Response<Body> {
    let Some(scope) = scope(&request) else {
        return refuse(StatusCode::FORBIDDEN, "the request is not signed");
    };
    if !fleet::may_change(&request) {
        return refuse(StatusCode::FORBIDDEN, "only an operator's key may see the fleet");
    }
    match request.parts.method {
        Method::GET => {
            let nodes = fleet::nodes(&api.ledger.snapshot(), &api.tables, &scope);
            answer(StatusCode::OK, serde_json::to_vec(&Told { nodes }).unwrap_or_default())
        }
        Method::POST => {
            let body = match request.body.collect(MAX_BYTES).await {
                Ok(body) => body,
                Err(error) => return refuse(error.http_status(), &error.message),
            };
            let asked: Asked = match serde_json::from_slice(&body) {
                Ok(asked) => asked,
                Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
            };
            let done = api.change_node(&scope, &asked.node, &asked.status, asked.force).await;
            told(
                done.map(|stopped| json!({"interrupted": stopped}).to_string().into_bytes())
                    .map_err(wire::ServiceError::from),
            )
        }
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST"),
    }
}
