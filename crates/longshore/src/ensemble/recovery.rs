//! A new key for the administrator, for whoever has the machine of any server: only the one that leads
//! can write it, and the others ask it.

use std::time::Duration;

use anyhow::Result;
use http::{HeaderValue, Response, StatusCode, header};
use iam::{Iam, IamError, KeyPair};
use ledger::{Leadership, Ledger, LedgerError};
use serde_json::{Value, json};
use wire::{Body, CallerKind, Route, RouteAuth};

use super::Asking;

/// Where the leading server is asked.
const RECOVER_PATH: &str = "/_longshore/servers/recover";
/// How often it is tried.
const AGAIN: Duration = Duration::from_millis(200);
/// After so many tries it says what it waits for.
const PATIENCE: u32 = 25;

/// The route, which the leading server answers: the id of the new key, and nothing secret.
pub fn route(iam: &Iam) -> Route {
    let iam = iam.clone();
    Route::new(RECOVER_PATH, RouteAuth::Signed("ecs"), move |request| {
        let iam = iam.clone();
        async move {
            let caller = request.caller.as_ref().map(|caller| &caller.kind);
            let (status, told) = match caller {
                Some(CallerKind::Server) => recovered(&iam).await,
                _ => {
                    let text = "servers of one control plane alone ask this";
                    (StatusCode::FORBIDDEN, json!({ "message": text }))
                }
            };
            let mut response = Response::new(Body::from(told.to_string()));
            *response.status_mut() = status;
            let kind = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
    })
}

async fn recovered(iam: &Iam) -> (StatusCode, Value) {
    match iam.recover_administrator().await {
        Ok(key) => (StatusCode::OK, json!({ "accessKeyId": key.access_key_id })),
        Err(error) => {
            tracing::warn!(%error, "the administrator cannot have a new key now");
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "message": error.to_string() }))
        }
    }
}

/// The administrator's new key: made here by the server that leads, else by that one. Tries until
/// there is one; what was made twice leaves the last.
///
/// # Errors
/// If the ledger cannot commit for another reason than that another server leads.
pub async fn recover(iam: &Iam, ledger: &Ledger, asking: &Asking) -> Result<KeyPair> {
    for tries in 1_u32.. {
        let why = match iam.recover_administrator().await {
            Ok(key) => return Ok(key),
            Err(IamError::Ledger(LedgerError::NotLeading { .. })) => {
                match ask(iam, ledger, asking).await {
                    Ok(key) => return Ok(key),
                    Err(why) => why,
                }
            }
            Err(IamError::Ledger(
                error @ (LedgerError::OutcomeUnknown | LedgerError::Unreachable { .. }),
            )) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if tries % PATIENCE == 0 {
            tracing::warn!(why, "the administrator's new key is waited for");
        }
        tokio::time::sleep(AGAIN).await;
    }
    unreachable!("tries have no end")
}

/// Has the leading server make it, and reads it when it is seen here.
async fn ask(iam: &Iam, ledger: &Ledger, asking: &Asking) -> Result<KeyPair, String> {
    let leader = match &*ledger.leadership().borrow() {
        Leadership::Following { leader: Some(leader) } => leader.url.clone(),
        Leadership::Following { leader: None } => return Err("no server leads".to_owned()),
        Leadership::Leading => return Err("this server has just come to lead".to_owned()),
    };
    let told = asking.at(&leader).post(RECOVER_PATH, &json!({})).await;
    let told = told.map_err(|error| terms::with_causes(&error))?;
    let id = told["accessKeyId"].as_str().ok_or("the leading server answered otherwise")?;
    ledger.current().await.map_err(|error| error.to_string())?;
    match iam.administrator().await {
        Ok(Some(key)) if key.access_key_id == id => Ok(key),
        Ok(_) => Err("another key was made meanwhile".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
