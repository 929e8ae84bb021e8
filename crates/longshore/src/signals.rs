//! The wish to end: SIGINT and SIGTERM.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::supervisor;

/// Ends at the first SIGINT or SIGTERM. A second one ends the process at once: what it leaves,
/// `longshore down` clears.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn first() -> Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        let mut either = async || {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        };
        either().await;
        eprintln!("longshore: ending; once more to end at once");
        supervisor::stopping();
        tokio::spawn(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            std::process::exit(130);
        });
    })
}

/// From now on SIGHUP ends this process no more: operators and units send it to have certificates read
/// again, also where there are none.
///
/// # Errors
/// If the handler cannot be installed.
pub fn survive_hangups() -> Result<()> {
    // A handler of tokio's stays, also without a listener.
    drop(signal(SignalKind::hangup())?);
    Ok(())
}
