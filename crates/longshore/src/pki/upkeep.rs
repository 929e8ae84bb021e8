//! Instances' certificates while they run: shown, and renewed before they end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use terms::Clock;
use tokio_util::sync::CancellationToken;
use wire::client::Client;
use wire::tls::TlsClient;

use super::{Authority, NodeFiles, Owner, signing_request};
use crate::clock::SystemClock;

/// How often an agent looks at least whether its certificate is to be renewed: its clock may be set.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 3600);
/// How soon a renewal that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// The shortest time between two looks.
const REST: Duration = Duration::from_secs(1);
/// How often an instance of `up` gets a new one at least.
const ISSUE_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);

/// Shows a certificate that the authority of this process issues, until `end`.
///
/// # Errors
/// If none can be made.
pub fn issue_while(
    tls: &TlsClient,
    authority: &Arc<Authority>,
    name: &str,
    end: CancellationToken,
) -> Result<()> {
    let (tls, authority) = (tls.clone(), Arc::clone(authority));
    let owner = Owner::Node(name.to_owned());
    // Well within a certificate's life.
    let every = ISSUE_EVERY.min(authority.node_life() / 3);
    let issue = move || -> Result<()> {
        let (certificate, key) = authority.issue(&owner, SystemClock.now())?;
        Ok(tls.show(certificate.as_bytes(), key.as_bytes())?)
    };
    issue()?;
    tokio::spawn(async move {
        while end.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            if let Err(error) = issue() {
                tracing::warn!(error = %format!("{error:#}"), "an instance has no new certificate");
            }
        }
    });
    Ok(())
}

/// Keeps an agent's certificate fresh until `end`: asks for a new one when a third of its life is
/// left, and again until it has one.
pub async fn renew_while(files: NodeFiles, client: Client, tls: TlsClient, end: CancellationToken) {
    loop {
        let mut wait = files.renewal_in(SystemClock.now());
        if wait.is_zero() {
            wait = match renew(&files, &client, &tls).await {
                Ok(()) => {
                    tracing::info!("this instance has a new certificate");
                    files.renewal_in(SystemClock.now())
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "this instance's certificate was not renewed yet");
                    TRY_AGAIN
                }
            };
        }
        let rest = tokio::time::sleep(wait.clamp(REST, LOOK_EVERY));
        if end.run_until_cancelled(rest).await.is_none() {
            return;
        }
    }
}

async fn renew(files: &NodeFiles, client: &Client, tls: &TlsClient) -> Result<()> {
    let (key, request) = signing_request()?;
    let input = json!({"certificateRequest": request});
    let answer = client.post("/_longshore/certificate", &input).await;
    let answer = answer.context("asking for a certificate")?;
    let Some(certificate) = answer["certificate"].as_str() else {
        bail!("the server holds no authority's key, so it issues none")
    };
    files.keep(certificate, &key)?;
    files.show(tls, SystemClock.now())
}
