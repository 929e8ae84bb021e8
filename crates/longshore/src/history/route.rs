//! `GET /_longshore/history?resource=…&since=…`: what the CLI's `history` asks. The server that leads
//! answers, and asks the others for what they saw while they led.

use std::sync::Arc;

use anyhow::Context;
use cloudtrail::Others;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use terms::Timestamp;
use wire::{Body, CallerKind, Route, RouteAuth, RouteRequest};

use super::merging::merged;
use super::store::{Entry, HistoryStore, Subject};
use crate::ensemble::Servers;
use crate::observe::metrics::{forbidden, may_see};

/// The path.
pub const HISTORY_PATH: &str = "/_longshore/history";
/// Where servers answer each other.
const SERVERS_PATH: &str = "/_longshore/servers/history";
/// The longest question of another server, in bytes.
const QUESTION_MAX_BYTES: usize = 4 << 10;
/// The least of an id that is looked for.
const PREFIX_CHARS_MIN: usize = 4;

/// The files, as routes share them.
type Store = Arc<Mutex<HistoryStore>>;

/// An answer, or why there is none.
type Told = (StatusCode, Value);

/// What a server asks another.
#[derive(Serialize, Deserialize)]
struct Question {
    subject: Subject,
    since: Timestamp,
}

/// The route for operators, and the one for other servers.
pub fn routes(store: Store, servers: Option<&Servers>) -> [Route; 2] {
    let (own, servers) = (store.clone(), servers.cloned());
    [
        Route::new(HISTORY_PATH, RouteAuth::Signed("ecs"), move |request| {
            let (store, servers) = (own.clone(), servers.clone());
            async move {
                if !may_see(&request) {
                    return forbidden();
                }
                let (status, told) = answer(request, store, servers).await;
                respond(status, &told)
            }
        }),
        Route::new(SERVERS_PATH, RouteAuth::Signed("ecs"), move |request| {
            let store = store.clone();
            async move {
                let (status, told) = answer_server(request, store).await;
                respond(status, &told)
            }
        })
        .here(),
    ]
}

fn refuse(status: StatusCode, message: impl Into<String>) -> Told {
    (status, json!({"message": message.into()}))
}

fn unreadable(error: &anyhow::Error) -> Told {
    tracing::warn!(%error, "the history cannot be read");
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "the history cannot be read; see the log")
}

/// Reads in the files, which takes the disk's time.
async fn reading<T: Send + 'static>(
    store: Store,
    read: impl FnOnce(&HistoryStore) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let read = tokio::task::spawn_blocking(move || read(&store.lock()));
    read.await.context("reading the history failed")?
}

async fn answer(request: RouteRequest, store: Store, servers: Option<Servers>) -> Told {
    if request.parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET");
    }
    let Some(resource) = request.query("resource").filter(|text| !text.is_empty()) else {
        return refuse(StatusCode::BAD_REQUEST, "name a resource: ?resource=…");
    };
    let since = request.query("since").and_then(|since| since.parse().ok()).unwrap_or(0);
    let since = Timestamp::from_millis(since);
    let named = request.caller.as_ref().map_or_else(Vec::new, |caller| {
        let arn = |rest: String| format!("arn:aws:ecs:{}:{}:{rest}", caller.region, caller.account);
        let service = match resource.contains('/') {
            true => format!("service/{resource}"),
            false => format!("service/default/{resource}"),
        };
        vec![arn(format!("cluster/{resource}")), arn(service)]
    });
    let meant = resource.clone();
    let found = reading(store, move |store| {
        let meant = meant_by(store, &meant, &named, since)?;
        let entries = match &meant {
            Ok(subject) => store.entries(subject, since)?,
            Err(_) => Vec::new(),
        };
        Ok((meant, entries, store.since()))
    });
    let (subject, own, kept_since) = match found.await {
        Ok((Ok(subject), own, kept_since)) => (subject, own, kept_since),
        Ok((Err(refusal), ..)) => return refusal,
        Err(error) => return unreadable(&error),
    };
    let (others, silent) = match servers {
        Some(servers) => ask_others(&servers, &Question { subject, since }).await,
        None => Default::default(),
    };
    let entries = merged(own, others);
    let kept_since = kept_since.map(|since| since.to_string());
    if entries.is_empty() && since.millis() == 0 {
        let message = format!(
            "nothing is kept of '{resource}': name a task, a container instance, a cluster or a \
             service by ARN, by the begin of its id ({PREFIX_CHARS_MIN} characters or more) or, a \
             cluster or a service (CLUSTER/NAME), by name"
        );
        return (StatusCode::NOT_FOUND, json!({"message": message, "keptSince": kept_since}));
    }
    let told = json!({
        "resource": entries.first().map_or(resource.as_str(), |entry| entry.arn.as_str()),
        "keptSince": kept_since,
        "entries": entries,
        "silent": silent,
    });
    (StatusCode::OK, told)
}

/// What the others know, and who of them does not answer.
async fn ask_others(servers: &Servers, question: &Question) -> (Vec<Vec<Entry>>, Vec<Value>) {
    let urls = servers.servers().await;
    let asked = urls.iter().map(|url| servers.post(url, SERVERS_PATH, question));
    let (mut others, mut silent) = (Vec::new(), Vec::new());
    for (url, answer) in urls.iter().zip(join_all(asked).await) {
        match answer {
            Ok(entries) => others.push(entries),
            Err(why) => silent.push(json!({"server": url, "why": why})),
        }
    }
    (others, silent)
}

async fn answer_server(request: RouteRequest, store: Store) -> Told {
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
    match reading(store, move |store| store.entries(&question.subject, question.since)).await {
        Ok(entries) => (StatusCode::OK, json!(entries)),
        Err(error) => unreadable(&error),
    }
}

/// The one subject that a name means, or why it is none.
fn meant_by(
    store: &HistoryStore,
    resource: &str,
    named: &[String],
    since: Timestamp,
) -> anyhow::Result<Result<Subject, Told>> {
    let mut subjects = match Subject::of_arn(resource) {
        Some(subject) => vec![subject],
        None if resource.len() >= PREFIX_CHARS_MIN && !resource.contains(':') => {
            store.matches(resource)?
        }
        None => Vec::new(),
    };
    if subjects.is_empty() {
        let named: Vec<Subject> = named.iter().filter_map(|arn| Subject::of_arn(arn)).collect();
        for subject in &named {
            if subjects.is_empty() && !store.entries(subject, since)?.is_empty() {
                subjects.push(subject.clone());
            }
        }
        if subjects.is_empty() {
            subjects.extend(named.into_iter().take(1));
        }
    }
    Ok(match <[Subject; 1]>::try_from(subjects) {
        Ok([subject]) => Ok(subject),
        Err(several) => {
            let names: Vec<_> = several.iter().take(8).map(Subject::as_str).collect();
            let message = format!("'{resource}' may be any of {}, …", names.join(", "));
            Err(refuse(StatusCode::CONFLICT, message))
        }
    })
}

fn respond(status: StatusCode, told: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
