//! The folder in which one Longshore keeps everything, and the files in it that other commands read.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use terms::{AccountId, Region};

use crate::profile_files;

/// The profile that the administrator's key stands under, here and in `~/.aws`.
pub const PROFILE: &str = "longshore";

/// A data folder; see `ARCHITECTURE.md` for what lies in it.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// How a running server is reached; written when it serves, removed when it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// The base URL of the API.
    pub endpoint: String,
    /// The authority to trust, if it is not one of the machine's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The server's process.
    pub pid: u32,
    /// Its home account.
    pub account: AccountId,
    /// Its home region.
    pub region: Region,
    /// Where its metrics are read without a signature, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Where names of load balancers are answered by DNS, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<SocketAddr>,
}

/// An access key and its secret.
#[derive(Clone)]
pub struct Keys {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
}

impl DataDir {
    /// The folder at `path`, made (for its owner's eyes only) if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("making the data folder {}", path.display()))?;
        Ok(Self(path.to_path_buf()))
    }

    /// The folder at `path`, whether or not it is there.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the ledger's store lives.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// Where the history of tasks and instances lives.
    pub fn history(&self) -> PathBuf {
        self.0.join("history")
    }

    /// Where log streams and their events live.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Where objects of S3 are looked for, if no other place is named: `BUCKET/KEY` below.
    pub fn objects(&self) -> PathBuf {
        self.0.join("s3")
    }

    /// Programs that lifecycle hooks of deployments call in place of Lambda functions; made by who needs
    /// it.
    pub fn hooks(&self) -> PathBuf {
        self.0.join("hooks")
    }

    /// Where images and layers live; shared by all instances of one `up`.
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// Where the registry keeps images; shares files with [`DataDir::images`].
    pub fn registry(&self) -> PathBuf {
        self.0.join("registry")
    }

    /// Where an instance keeps its journal, containers and networks.
    pub fn node(&self, name: &str) -> PathBuf {
        self.0.join("node").join(name)
    }

    /// Where a balancer keeps what it was told last.
    pub fn balancer(&self, name: &str) -> PathBuf {
        self.0.join("balancer").join(name)
    }

    /// Where an instance's namespaces are held.
    pub fn run(&self, name: &str) -> PathBuf {
        self.0.join("run").join(name)
    }

    /// Where the shim is written to be started from.
    pub fn programs(&self) -> PathBuf {
        self.0.join("bin")
    }

    /// The names of the instances that have lived here.
    pub fn nodes(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("node")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The administrator's key, in the form of `~/.aws/credentials`.
    pub fn credentials(&self) -> PathBuf {
        self.0.join("credentials")
    }

    /// What this installation is known by, if the folder knows it: all instances on a machine of
    /// one control plane share a network by it. The ledger has the same.
    pub fn installation(&self) -> Option<String> {
        let id = fs::read_to_string(self.0.join("installation")).ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// Keeps what the installation is known by.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn write_installation(&self, id: &str) -> Result<()> {
        match self.installation() {
            Some(known) if known == id => Ok(()),
            _ => write_private(&self.0.join("installation"), id),
        }
    }

    fn running_file(&self) -> PathBuf {
        self.0.join("server.json")
    }

    /// Keeps the administrator's key where only its owner can read it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_administrator(&self, keys: &Keys) -> Result<()> {
        let settings = [
            ("aws_access_key_id", keys.access_key_id.as_str()),
            ("aws_secret_access_key", keys.secret_access_key.as_str()),
        ];
        write_private(&self.credentials(), &profile_files::with_section("", PROFILE, &settings))
    }

    /// Takes away the administrator's key: there is none any more.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn remove_administrator(&self) -> Result<()> {
        gone(fs::remove_file(self.credentials()), &self.credentials())
    }

    /// Where it stands that the administrator is to have a new key.
    fn wish(&self) -> PathBuf {
        self.0.join("recover-administrator")
    }

    /// Leaves the wish that the next start makes the administrator a new key, or takes it back.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn wish_for_administrator(&self, wished: bool) -> Result<()> {
        match wished {
            true => write_private(&self.wish(), ""),
            false => gone(fs::remove_file(self.wish()), &self.wish()),
        }
    }

    /// Whether the administrator is to have a new key.
    pub fn wants_administrator(&self) -> bool {
        self.wish().exists()
    }

    /// Where the trail of calls lives.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit")
    }

    /// The administrator's key, if this machine's server has made one that we may read.
    pub fn administrator(&self) -> Option<Keys> {
        let text = fs::read_to_string(self.credentials()).ok()?;
        let mut settings = profile_files::section(&text, PROFILE);
        Some(Keys {
            access_key_id: settings.remove("aws_access_key_id")?,
            secret_access_key: settings.remove("aws_secret_access_key")?,
        })
    }

    /// Tells other commands how the server is reached.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn announce(&self, running: &Running) -> Result<()> {
        write_private(&self.running_file(), &serde_json::to_string(running)?)
    }

    /// Takes the announcement back at the end; a missing one is fine.
    pub fn retract(&self) {
        let _ = fs::remove_file(self.running_file());
    }

    /// How the server that uses this folder is reached, if one has said so.
    pub fn running(&self) -> Option<Running> {
        serde_json::from_slice(&fs::read(self.running_file()).ok()?).ok()
    }
}

/// A file that was to go and is not there has gone.
fn gone(removed: io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("removing {}", path.display())),
    }
}

/// Writes a whole file that only its owner can read; readers see the old or the new text.
///
/// # Errors
/// If the file, or its folder, cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        let draft = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}
