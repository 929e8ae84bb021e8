//! Follows a server: one request stays open, and its lines tell what to do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use balancer::{FORMAT, Told};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Serving, kept};

/// A server that says nothing for longer is given up: it says something each five seconds.
const SILENCE: Duration = Duration::from_secs(15);
/// The first pause before a server is called again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// The pause before what did not come about is tried again: a port that is taken, say.
const RETRY: Duration = Duration::from_secs(1);

impl Serving {
    /// Follows one server after the other until `stop`.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        let path = self.path();
        let mut pause = FIRST_PAUSE;
        loop {
            let server = self.setup.client.endpoint().to_owned();
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ended = self.hear(&path) => ended,
            };
            if self.is_joined.load(Ordering::SeqCst) {
                pause = FIRST_PAUSE;
                self.leave();
            }
            let error = ended.err().map_or_else(|| "it ended".to_owned(), |e| format!("{e:#}"));
            let text = "nobody tells what to do; what was told last goes on";
            match pause == FIRST_PAUSE {
                true => tracing::warn!(server, error, "{text}"),
                false => tracing::debug!(server, error, "{text}"),
            }
            self.setup.client.servers().failed(&server);
            let until = Instant::now() + pause;
            while Instant::now() < until {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep_until(until.min(Instant::now() + RETRY)) => self.retry(),
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What a balancer asks for.
    fn path(&self) -> String {
        let setup = &self.setup;
        let serves = setup.serves.join(",").replace(':', "%3A").replace('/', "%2F");
        let serves = serves.replace(',', "%2C");
        let (name, start) = (&setup.name, &setup.start);
        format!(
            "{}?format={FORMAT}&name={name}&serves={serves}&start={start}",
            elbv2::BALANCER_PATH
        )
    }

    /// Does what one server tells, for as long as it tells something.
    async fn hear(&self, path: &str) -> Result<()> {
        let mut lines = self.setup.client.lines(path).await?;
        let mut last = Instant::now();
        loop {
            let line = tokio::select! {
                biased;
                line = tokio::time::timeout_at(last + SILENCE, lines.next()) => line,
                () = tokio::time::sleep(RETRY) => {
                    self.retry();
                    continue;
                }
            };
            last = Instant::now();
            if !self.obey(line.context("the server says nothing any more")??).await? {
                return Ok(());
            }
        }
    }

    /// Does what a line says; gives whether there may be another.
    async fn obey(&self, line: Option<String>) -> Result<bool> {
        let Some(line) = line else { return Ok(false) };
        if line.is_empty() {
            return Ok(true);
        }
        let told = kept::parse(line.as_bytes()).context("the server's words are not understood")?;
        if !self.is_joined.load(Ordering::SeqCst) {
            if !told.is_whole {
                bail!("the server began in the middle");
            }
            self.is_joined.store(true, Ordering::SeqCst);
            tracing::info!(server = self.setup.client.endpoint(), "a server tells what to do");
        }
        self.take(told);
        self.keep().await;
        Ok(true)
    }

    /// Keeps what was told.
    async fn keep(&self) {
        let told = {
            let state = self.told.lock();
            Told::whole(&state.config, state.key.clone())
        };
        let file = self.setup.file.clone();
        let kept = tokio::task::spawn_blocking(move || kept::write(&file, &told)).await;
        let error = match kept {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, "what was told cannot be kept: a restart would not know it");
    }
}
