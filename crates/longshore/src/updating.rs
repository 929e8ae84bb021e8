//! This agent's replacement by a program that the server hands out (docs/decisions/0074): staged in
//! the data folder, verified, and started in this process's place. The containers' shims are
//! processes of their own: nothing happens to them.
//!
//! The installed program stays as it is. What replaced it stands in a file beside the key, so that
//! the next start of the machine comes to the same program; one that dies before the server knows it
//! is given up, and so is one whose installed program was replaced since.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent::Updates;
use anyhow::{Context, Result};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wire::client::Client;

use crate::agent_program::digest_of;
use crate::data_dir;

/// The file in the instance's folder that says what replaced the installed program.
const RECORD: &str = "agent-update.json";
/// How agents' programs are called in the data folder; their digests follow.
const PREFIX: &str = "agent-";
/// Fetching may take this long (agent-protocol §2.5).
const FETCH_MAX: Duration = Duration::from_secs(15 * 60);
/// The largest program that is taken, in bytes.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;
/// A program must say what it is within this time.
const SAYS_MAX: Duration = Duration::from_secs(30);

/// What replaced the installed program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// The digest of the program that runs instead.
    digest: String,
    /// The digest of the installed one.
    replaced: String,
    /// Whether the server has known it.
    works: bool,
}

/// What a start has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    /// Go on as the program that this is.
    AsIs,
    /// The same, and forget the record.
    Forget,
    /// Start the program of this digest instead.
    Instead(String),
}

/// What a start of the program `own` has to do.
fn start(own: &str, record: Option<&Record>) -> Start {
    match record {
        None => Start::AsIs,
        Some(record) if record.digest == own => Start::AsIs,
        Some(record) if record.replaced != own => Start::Forget,
        Some(record) if !record.works => Start::Forget,
        Some(record) => Start::Instead(record.digest.clone()),
    }
}

/// Where an instance's replacement stands.
#[derive(Clone, Debug)]
struct Places {
    record: PathBuf,
    programs: PathBuf,
}

impl Places {
    fn program(&self, digest: &str) -> PathBuf {
        self.programs.join(format!("{PREFIX}{digest}"))
    }

    fn read(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(&self.record).ok()?).ok()
    }

    fn write(&self, record: &Record) -> Result<()> {
        data_dir::write_private(&self.record, &serde_json::to_string(record)?)
    }
}

/// Starts the program that replaced this one, if one did, in this process's place. What this one is
/// otherwise: its digest.
///
/// # Errors
/// If this program cannot be read.
pub fn resume(folder: &Path, programs: &Path) -> Result<String> {
    let own = digest_of(&std::env::current_exe().context("finding this program's own file")?)?;
    let places = Places { record: folder.join(RECORD), programs: programs.to_owned() };
    match start(&own, places.read().as_ref()) {
        Start::AsIs => {}
        Start::Forget => {
            tracing::warn!("the program that replaced this one is given up");
            let _ = fs::remove_file(&places.record);
        }
        Start::Instead(digest) => {
            let program = places.program(&digest);
            let error = exec(&program);
            tracing::error!(program = %program.display(), %error, "it does not start");
            let _ = fs::remove_file(&places.record);
        }
    }
    Ok(own)
}

/// Becomes another program, with the same arguments; only its failure returns.
fn exec(program: &Path) -> std::io::Error {
    Command::new(program).args(std::env::args_os().skip(1)).exec()
}

/// Replaces this agent.
pub struct Updater {
    places: Places,
    own: String,
    client: Client,
    /// Ends this agent.
    end: CancellationToken,
    staged: Mutex<Option<String>>,
    next: Mutex<Option<String>>,
}

impl Updater {
    /// One for the agent whose instance has `folder`, which is the program of the digest `own`.
    pub fn new(
        folder: &Path,
        programs: &Path,
        own: String,
        client: Client,
        end: CancellationToken,
    ) -> Self {
        let places = Places { record: folder.join(RECORD), programs: programs.to_owned() };
        let client = client.with_timeout(FETCH_MAX);
        Self { places, own, client, end, staged: Mutex::default(), next: Mutex::default() }
    }

    /// The first digits of this program's digest, which the control plane knows it by.
    pub fn hash(&self) -> String {
        self.own.chars().take(8).collect()
    }

    /// Becomes the program that this agent is to be replaced by, if it is.
    ///
    /// # Errors
    /// If it does not start: this agent is at its end already, and its supervisor starts it again.
    pub fn become_next(&self) -> Result<()> {
        let Some(digest) = self.next.lock().take() else { return Ok(()) };
        let program = self.places.program(&digest);
        tracing::info!(program = %program.display(), "this agent is replaced");
        Err(exec(&program)).with_context(|| format!("starting {}", program.display()))
    }

    async fn fetch(&self, location: &str, digest: &str) -> Result<(), String> {
        let failed = |what: &dyn std::fmt::Display| format!("Unable to download: {what}");
        let path = self.places.program(digest);
        let partial = path.with_extension("part");
        let mut body =
            self.client.lines(location).await.map_err(|e| failed(&terms::with_causes(&e)))?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(&partial)
            .map_err(|error| failed(&error))?;
        let mut length = 0;
        while let Some(piece) = body.chunk().await.map_err(|e| failed(&terms::with_causes(&e)))? {
            length += piece.len() as u64;
            if length > PROGRAM_BYTES_MAX {
                return Err(failed(&"it is larger than any program"));
            }
            file.write_all(&piece).map_err(|error| failed(&error))?;
        }
        file.sync_all().map_err(|error| failed(&error))?;
        drop(file);
        let invalid = |what: &dyn std::fmt::Display| format!("Invalid update: {what}");
        let read = partial.clone();
        let actual = tokio::task::spawn_blocking(move || digest_of(&read)).await;
        let actual = actual.map_err(|e| invalid(&e))?.map_err(|e| invalid(&format!("{e:#}")))?;
        if actual != digest {
            return Err(invalid(&format!("its digest is {actual}, not {digest}")));
        }
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o700))
            .map_err(|error| invalid(&error))?;
        says_what_it_is(&partial).await.map_err(|what| invalid(&what))?;
        fs::rename(&partial, &path).map_err(|error| invalid(&error))
    }

    /// Programs that are of no use any more.
    fn sweep(&self) {
        let kept = self.places.read().map(|record| record.digest);
        let Ok(entries) = fs::read_dir(&self.places.programs) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(digest) = name.strip_prefix(PREFIX) else { continue };
            if digest != self.own && kept.as_deref() != Some(digest) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A program that cannot tell its version will not run containers either.
async fn says_what_it_is(program: &Path) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").kill_on_drop(true).stdin(std::process::Stdio::null());
    let said = tokio::time::timeout(SAYS_MAX, command.output()).await;
    let said = said.map_err(|_| "it does not say what it is".to_owned())?;
    let said = said.map_err(|error| format!("it does not run here: {error}"))?;
    let text = String::from_utf8_lossy(&said.stdout);
    (said.status.success() && text.starts_with("longshore "))
        .then_some(())
        .ok_or_else(|| format!("it is no Longshore: it says '{}'", text.trim()))
}

#[async_trait]
impl Updates for Updater {
    async fn stage(&self, location: &str, digest: &str) -> Result<(), String> {
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_digest || !location.starts_with('/') {
            return Err("Invalid update: the server names no program".to_owned());
        }
        if !self.is_staged(digest) {
            self.sweep();
            self.fetch(location, digest).await?;
            *self.staged.lock() = Some(digest.to_owned());
        }
        Ok(())
    }

    fn is_staged(&self, digest: &str) -> bool {
        self.staged.lock().as_deref() == Some(digest)
    }

    fn perform(&self, digest: &str) {
        let before = self.places.read().filter(|record| record.digest == self.own);
        // Whatever replaces what: the installed program is the one that starts next time.
        let replaced = before.map_or_else(|| self.own.clone(), |record| record.replaced);
        let record = Record { digest: digest.to_owned(), replaced, works: false };
        if let Err(error) = self.places.write(&record) {
            tracing::error!(error = format!("{error:#}"), "this agent cannot be replaced");
            return;
        }
        *self.next.lock() = Some(digest.to_owned());
        self.end.cancel();
    }

    fn registered(&self) {
        let record = self.places.read().filter(|record| record.digest == self.own && !record.works);
        if let Some(record) = record
            && let Err(error) = self.places.write(&Record { works: true, ..record })
        {
            tracing::error!(
                error = format!("{error:#}"),
                "the next start comes to the old program"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_comes_to_the_program_that_works() {
        let record = |digest: &str, replaced: &str, works| Record {
            digest: digest.to_owned(),
            replaced: replaced.to_owned(),
            works,
        };
        let check = |own, record: Option<Record>, expected| {
            assert_eq!(start(own, record.as_ref()), expected, "{own} {record:?}");
        };
        check("old", None, Start::AsIs);
        check("old", Some(record("new", "old", true)), Start::Instead("new".to_owned()));
        // It died before the server knew it.
        check("old", Some(record("new", "old", false)), Start::Forget);
        // It is the one.
        check("new", Some(record("new", "old", false)), Start::AsIs);
        // A package brought another one since.
        check("newer", Some(record("new", "old", true)), Start::Forget);
    }
}
