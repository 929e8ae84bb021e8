//! Tells the server what was found: whether listeners listen, how targets are, what there was to do.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use balancer::{FORMAT, Found};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wire::client::ClientError;

use super::Serving;

/// The longest time between two reports: what there was to do is told by then.
const EVERY: Duration = Duration::from_secs(60);
/// The pause before a report that was not taken is told again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a last report may take.
const LAST: Duration = Duration::from_secs(2);
/// How long requests under way may take at the end, as at a server's.
const DRAIN: Duration = Duration::from_secs(10);

impl Serving {
    /// Reports until `stop`, whenever there is something new.
    pub(super) async fn report(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.due.notified() => {}
                () = self.setup.balancer.changed() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
            // A new server is told everything anyway.
            while self.is_joined.load(Ordering::SeqCst) {
                let told = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    told = self.tell(false) => told,
                };
                match told {
                    Ok(_) => break,
                    Err(error) => tracing::debug!(%error, "a report was not taken"),
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    /// Lets others take over, and ends what is under way.
    pub(super) async fn farewell(&self) {
        if self.is_joined.load(Ordering::SeqCst) {
            let told = tokio::time::timeout(LAST, self.tell(true)).await;
            if !matches!(told, Ok(Ok(_))) {
                tracing::warn!("no server was told that this balancer ends");
            }
        }
        self.setup.balancer.finish(DRAIN).await;
    }

    async fn tell(&self, is_last: bool) -> Result<Value, ClientError> {
        let found = self.found(is_last);
        let found = serde_json::to_value(&found).unwrap_or_default();
        self.setup.client.post(elbv2::BALANCER_PATH, &found).await
    }

    fn found(&self, is_last: bool) -> Found {
        let (load_balancers, checked) = {
            let state = self.told.lock();
            let trouble = |name: &String| (name.clone(), state.troubles.get(name).cloned());
            let all = state.config.load_balancers.iter().map(|one| trouble(&one.name));
            let groups = state.config.groups.iter().filter(|one| one.verdicts.is_none());
            let all: BTreeMap<_, _> = all.collect();
            (all, groups.map(|group| group.name.clone()).collect())
        };
        Found {
            format: FORMAT,
            start: self.setup.start.clone(),
            address: self.setup.address,
            load_balancers,
            targets: self.setup.balancer.health(),
            checked,
            counts: self.setup.balancer.counts(),
            is_last,
        }
    }
}
