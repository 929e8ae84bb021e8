//! While a server runs: certificates that were renewed are taken up, and those that end soon are
//! told.

use std::time::Duration;

use anyhow::Result;
use terms::{Clock, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wire::tls::TlsServer;

/// How often the files are looked at; SIGHUP looks at once.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A certificate that ends within this time is told.
pub const WARN_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often it is told.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Looks after a server's certificate until `shutdown`.
///
/// # Errors
/// If the handler of SIGHUP cannot be installed.
pub async fn keep(tls: TlsServer, clock: &dyn Clock, shutdown: CancellationToken) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut told_at: Option<Timestamp> = None;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            _ = hangup.recv() => {}
            _ = look.tick() => {}
        }
        match tls.reload() {
            Ok(true) => {
                let until = tls.certificate().ends_at;
                tracing::info!(%until, "the certificate was renewed");
                told_at = None;
            }
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the certificate's files cannot be used; the one before stays"
            ),
        }
        let now = clock.now();
        if told_at.is_none_or(|told| told + WARN_EVERY <= now) {
            for (what, ends_at) in ending(&tls, now) {
                tracing::warn!(%ends_at, "the {what} ends soon; 'longshore init --renew' makes a new one");
            }
            told_at = Some(now);
        }
    }
}

/// Which certificates end soon, or have ended.
pub fn ending(tls: &TlsServer, now: Timestamp) -> Vec<(&'static str, Timestamp)> {
    let server = ("server's certificate", Some(tls.certificate()));
    let authority = ("authority's certificate", tls.authority());
    let all = [server, authority].into_iter();
    all.filter_map(|(what, found)| Some((what, found?.ends_at)))
        .filter(|(_, ends_at)| *ends_at <= now + WARN_BEFORE)
        .collect()
}
