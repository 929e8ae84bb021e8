//! The trail of calls: its routes, for `longshore audit` and `longshore why-denied`.

mod denied;

use cloudtrail::{
    Answer, Filter, Places, Question, SERVERS_PATH, Silent, Start, Trail, places, written,
};
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use iam::Iam;
use ledger::LedgerError;
use serde_json::{Value, json};
use terms::Timestamp;
use wire::{Body, CallerKind, Route, RouteAuth, RouteRequest};

use crate::ensemble::{NotForgotten, Servers};
use crate::observe::metrics::{forbidden, may_see};

/// Where lines are read.
pub const AUDIT_PATH: &str = "/_longshore/audit";
/// Where the chain is followed.
pub const VERIFY_PATH: &str = "/_longshore/audit/verify";
/// Where servers are forgotten that will not come back; host and port follow.
pub const FORGET_PATH: &str = "/_longshore/audit/forget";
/// Where refusals are explained.
pub const WHY_DENIED_PATH: &str = "/_longshore/why-denied";
/// The longest question of another server, in bytes.
const QUESTION_MAX_BYTES: usize = 64 << 10;
/// Most lines of one answer.
const LINES_MAX: usize = 1000;
/// The place after which nothing is yet.
const NOW: &str = "now";
/// Lines of one answer, unless said otherwise.
const LINES: usize = 100;

/// The routes, each answered by the server that is asked: it has a trail of its own, and asks the others
/// for theirs.
pub fn routes(trail: &Trail, iam: &Iam) -> [Route; 4] {
    let (lines, chain, of_servers) = (trail.clone(), trail.clone(), trail.clone());
    let (of_denied, iam) = (trail.clone(), iam.clone());
    [
        Route::new(AUDIT_PATH, RouteAuth::Signed("ecs"), move |request| {
            let trail = lines.clone();
            async move { guarded(request, async |request| read(&trail, &request).await).await }
        })
        .here(),
        Route::new(VERIFY_PATH, RouteAuth::Signed("ecs"), move |request| {
            let trail = chain.clone();
            async move { guarded(request, async |request| verify(&trail, &request).await).await }
        })
        .here(),
        Route::new(WHY_DENIED_PATH, RouteAuth::Signed("ecs"), move |request| {
            let (trail, iam) = (of_denied.clone(), iam.clone());
            async move {
                guarded(request, async |request| denied::explain(&trail, &iam, &request).await)
                    .await
            }
        })
        .here(),
        Route::new(SERVERS_PATH, RouteAuth::Signed("ecs"), move |request| {
            let trail = of_servers.clone();
            async move { answered(servers_question(&trail, request).await) }
        })
        .here(),
    ]
}

/// The route that forgets a server which will not come back, so that it is missed no more: answered by
/// the server that leads, whose trail then has the call with the server in its path.
pub fn forgetting(servers: Option<&Servers>) -> Route {
    let servers = servers.cloned();
    Route::new(FORGET_PATH, RouteAuth::Signed("ecs"), move |request| {
        let servers = servers.clone();
        async move { guarded(request, async |request| forget(servers.as_ref(), &request).await).await }
    })
}

async fn forget(servers: Option<&Servers>, request: &RouteRequest) -> Told {
    if request.parts.method != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "forgetting a server is a POST");
    }
    let named = request.rest(FORGET_PATH).trim_start_matches('/');
    let Some(servers) = servers else {
        return refuse(StatusCode::NOT_FOUND, "this control plane has one server alone");
    };
    match servers.forget(named).await {
        Ok(server) => (StatusCode::OK, json!({ "server": server })),
        Err(NotForgotten::Unknown) => {
            let text = "is missed; 'longshore audit verify' names those that are";
            refuse(StatusCode::NOT_FOUND, format!("no server '{named}' {text}"))
        }
        Err(NotForgotten::Alive(server)) => {
            refuse(StatusCode::CONFLICT, format!("{server} runs: stop it for good first"))
        }
        Err(NotForgotten::Ledger(error)) => {
            // 503 means that nothing was done.
            let status = match error {
                LedgerError::NotLeading { .. }
                | LedgerError::Crowded
                | LedgerError::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            refuse(status, terms::with_causes(&error))
        }
    }
}

/// An answer, or why there is none.
type Told = (StatusCode, Value);

fn refuse(status: StatusCode, message: impl Into<String>) -> Told {
    (status, json!({ "message": message.into() }))
}

async fn guarded(
    request: RouteRequest,
    answer: impl AsyncFnOnce(RouteRequest) -> Told,
) -> Response<Body> {
    if !may_see(&request) {
        return forbidden();
    }
    answered(answer(request).await)
}

fn answered((status, told): Told) -> Response<Body> {
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn time(request: &RouteRequest, name: &str) -> Option<String> {
    let millis: i64 = request.query(name)?.parse().ok()?;
    let text = Timestamp::from_millis(millis).to_string();
    text.split_once('.').map(|(whole, _)| format!("{whole}Z"))
}

async fn read(trail: &Trail, request: &RouteRequest) -> Told {
    let text = |name: &str| request.query(name).filter(|text| !text.is_empty());
    let is_set = |name: &str| text(name).is_some_and(|value| value == "true");
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let filter = Filter {
        since: time(request, "since"),
        until: time(request, "until"),
        who: text("who"),
        action: text("action"),
        resource: text("resource"),
        request: text("request"),
        only_denied: is_set("denied"),
        only_failed: is_set("failed"),
        ..Filter::default()
    };
    let named = |name: &str| match text(name).map(|text| places(&text)) {
        Some(None) => Err(refuse(StatusCode::BAD_REQUEST, format!("{name}: no place of a trail"))),
        read => Ok(read.flatten()),
    };
    let after = match text("after").as_deref() {
        Some(NOW) => Ok(Some(Places::new())),
        _ => named("after"),
    };
    let start = match (after, named("before")) {
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
        (Ok(Some(after)), _) => Start::After(after),
        (Ok(None), Ok(Some(before))) => Start::Before(before),
        (Ok(None), Ok(None)) => Start::Newest,
    };
    let limit = number("limit").and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(LINES).clamp(1, LINES_MAX);
    match trail.look_everywhere(filter, start, limit).await {
        Ok(page) => {
            let next = page.next.map(|places| written(&places));
            let newest = Some(page.newest).filter(|newest| !newest.is_empty());
            let newest = newest.map_or_else(|| NOW.to_owned(), |newest| written(&newest));
            let told = json!({ "entries": page.lines, "next": next, "newest": newest,
                "silent": page.silent });
            (StatusCode::OK, told)
        }
        Err(error) => unreadable(&error),
    }
}

/// The chains of all servers. This one's own stands outside as well, as it does where there is one
/// alone. A chain that is broken is an error; a server that is silent is told.
async fn verify(trail: &Trail, request: &RouteRequest) -> Told {
    let noted = request.query("hash").filter(|hash| !hash.is_empty());
    let found = match trail.verify_everywhere(noted.clone()).await {
        Ok(found) => found,
        Err(error) => return unreadable(&error),
    };
    let (mut chains, mut broken, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    let mut has_noted_anywhere = false;
    for (server, answer) in found {
        let url = server.clone().unwrap_or_default();
        match answer {
            Ok(Answer::Holds(verified, has_noted)) => {
                has_noted_anywhere |= has_noted;
                let mut chain = json!(verified);
                chain["server"] = json!(server);
                chains.push(chain);
            }
            Ok(Answer::Broken(what)) => broken.push(match server {
                Some(server) => format!("{server}: {what}"),
                None => what,
            }),
            Ok(Answer::Lines(..)) => {
                silent.push(Silent { server: url, why: "it answered otherwise".to_owned() });
            }
            Err(why) => silent.push(Silent { server: url, why }),
        }
    }
    if !broken.is_empty() {
        let text = format!("the chain is broken: {}", broken.join("; "));
        return refuse(StatusCode::CONFLICT, text);
    }
    let mut told = chains[0].clone();
    if noted.is_some() {
        told["hasNoted"] = has_noted_anywhere.into();
    }
    if told["server"].is_string() {
        told["servers"] = json!(chains);
        told["silent"] = json!(silent);
    }
    (StatusCode::OK, told)
}

/// Another server asks about this one's trail.
async fn servers_question(trail: &Trail, request: RouteRequest) -> Told {
    let caller = request.caller.as_ref().map(|caller| &caller.kind);
    if caller != Some(&CallerKind::Server) {
        return refuse(StatusCode::FORBIDDEN, "servers of one control plane alone ask this");
    }
    let body = match Limited::new(request.body, QUESTION_MAX_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    match trail.answer(question).await {
        Ok(answer) => (StatusCode::OK, json!(answer)),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &cloudtrail::TrailError) -> Told {
    tracing::warn!(%error, "the trail cannot be read");
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "the trail cannot be read; see the server's log")
}
