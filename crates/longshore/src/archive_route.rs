//! `GET /_longshore/store/export`: an archive of a running server's ledger, for operators.

use std::io::Write;
use std::sync::Arc;

use http::{Method, Response, StatusCode, header};
use ledger::{About, Ledger, SnapshotStore};
use serde_json::json;
use terms::Timestamp;
use tokio::sync::Semaphore;
use wire::{Body, BodyWriter, Route, RouteAuth, RouteRequest};

/// The path.
pub const PATH: &str = "/_longshore/store/export";

/// Archives that are made at once: each keeps a thread, and the rows of its revision, for as long
/// as its reader takes.
const AT_ONCE: usize = 2;

/// The route.
pub fn export(ledger: Ledger) -> Route {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    Route::new(PATH, RouteAuth::Signed("ecs"), move |request| {
        let (ledger, turns) = (ledger.clone(), turns.clone());
        async move { answer(&ledger, &turns, &request) }
    })
}

fn answer(ledger: &Ledger, turns: &Arc<Semaphore>, request: &RouteRequest) -> Response<Body> {
    if request.parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "ClientException", "use GET");
    }
    if !request.caller.as_ref().is_some_and(|caller| caller.kind.operates()) {
        let told = "only an operator's key may export the store";
        return refuse(StatusCode::FORBIDDEN, "AccessDeniedException", told);
    }
    let Ok(turn) = turns.clone().try_acquire_owned() else {
        let told = "as many archives as may be made at once are being made; try again later";
        return refuse(StatusCode::TOO_MANY_REQUESTS, "ThrottlingException", told);
    };
    let (rows, now) = (ledger.rows(), request.now);
    let (writer, body) = Body::written();
    tokio::task::spawn_blocking(move || {
        write(rows, now, writer);
        drop(turn);
    });
    let mut response = Response::new(body);
    let kind = header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn write(mut rows: SnapshotStore, at: Timestamp, mut writer: BodyWriter) {
    let (schema, _) = crate::tables::without_secrets();
    let source = "a running server".to_owned();
    let about = About { program: env!("CARGO_PKG_VERSION").to_owned(), at, source };
    let done = ledger::export(&schema, &mut rows, &mut writer, &about);
    match done.map_err(anyhow::Error::from).and_then(|_| Ok(writer.flush()?)) {
        Ok(()) => {}
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "an export was broken off");
            writer.fail(error);
        }
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let told = json!({"__type": code, "message": message}).to_string();
    let mut response = Response::new(Body::from(told));
    *response.status_mut() = status;
    response
}
