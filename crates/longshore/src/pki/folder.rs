//! The folder that `longshore init` makes and `--tls-dir` names.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use terms::Timestamp;
use wire::tls::Certificate;

use super::{Authority, Owner};
use crate::data_dir::write_private;

/// The authority's certificate.
pub const AUTHORITY: &str = "ca.crt";
/// The authority's key.
pub const AUTHORITY_KEY: &str = "ca.key";
/// The servers' certificate.
pub const SERVER: &str = "server.crt";
/// The servers' key.
pub const SERVER_KEY: &str = "server.key";
/// The certificate with which servers call etcd.
pub const ETCD_CLIENT: &str = "etcd-client.crt";
/// Its key.
pub const ETCD_CLIENT_KEY: &str = "etcd-client.key";
/// What secrets are sealed with.
pub const SECRETS_KEY: &str = "secrets.key";

/// A certificate with less time left is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A folder of certificates.
#[derive(Clone, Debug)]
pub struct TlsFolder(PathBuf);

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Made {
    /// Its path.
    pub file: PathBuf,
    /// What it is.
    pub what: String,
    /// Whether it was written now.
    pub is_new: bool,
    /// Until when it is valid, if it is a certificate.
    pub until: Option<String>,
}

impl TlsFolder {
    /// The folder at `path`, whether or not it is there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file in it, if it is there.
    pub fn there(&self, name: &str) -> Option<PathBuf> {
        Some(self.file(name)).filter(|path| path.exists())
    }

    /// Makes the folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(&self) -> Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.0)
            .with_context(|| format!("making {}", self.0.display()))
    }

    /// The authority with its key; makes both if there is neither.
    ///
    /// # Errors
    /// If one of the two is missing, or they cannot be used.
    pub fn authority(&self, now: Timestamp) -> Result<(Authority, Made)> {
        let (file, key_file) = (self.file(AUTHORITY), self.file(AUTHORITY_KEY));
        let made = |authority: &Authority, is_new| -> Result<Made> {
            let what = "the authority that all trust".to_owned();
            let until = Certificate::of_pem("ca.crt", authority.pem().as_bytes())?.ends_at;
            Ok(Made { file: file.clone(), what, is_new, until: Some(until.to_string()) })
        };
        match (file.exists(), key_file.exists()) {
            (true, true) => {
                let (pem, key) = (read(&file)?, read(&key_file)?);
                let authority = Authority::load(&file.display().to_string(), &pem, &key)?;
                let made = made(&authority, false)?;
                Ok((authority, made))
            }
            (false, false) => {
                let (authority, key) = Authority::make(now)?;
                write_private(&key_file, &key)?;
                write_public(&file, authority.pem())?;
                let made = made(&authority, true)?;
                Ok((authority, made))
            }
            (has_certificate, _) => {
                let missing = if has_certificate { &key_file } else { &file };
                bail!(
                    "{} is missing while its other half is there: put it back, or choose another \
                     --dir for a new authority",
                    missing.display()
                )
            }
        }
    }

    /// Keeps the certificate `name`.crt if it is good for `owner` for a while; makes it anew, with
    /// its key, if not, or if `renew` says so. Names that an earlier one had are kept.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn certificate(
        &self,
        authority: &Authority,
        name: &str,
        owner: Owner,
        renew: bool,
        now: Timestamp,
    ) -> Result<Made> {
        let (file, key_file) =
            (self.file(&format!("{name}.crt")), self.file(&format!("{name}.key")));
        let before = fs::read_to_string(&file).ok().filter(|_| key_file.exists());
        // Whether it is of this authority shows at its end: the authority's certificate follows.
        let before = before.filter(|pem| pem.ends_with(authority.pem()));
        let before = match &before {
            Some(pem) => Some(Certificate::of_pem(&file.display().to_string(), pem.as_bytes())?),
            None => None,
        };
        let (owner, wanted) = with_names(owner, before.as_ref());
        let what = describe(&owner);
        let is_good = before.as_ref().is_some_and(|found| {
            now + RENEW_BEFORE < found.ends_at
                && wanted.iter().all(|name| found.names.contains(name))
        });
        if let Some(found) = before.filter(|_| is_good && !renew) {
            let until = Some(found.ends_at.to_string());
            return Ok(Made { file, what, is_new: false, until });
        }
        let (pem, key) = authority.issue(&owner, now)?;
        write_private(&key_file, &key)?;
        write_public(&file, &pem)?;
        let until = Certificate::of_pem(name, pem.as_bytes())?.ends_at;
        Ok(Made { file, what, is_new: true, until: Some(until.to_string()) })
    }

    /// Keeps the key for secrets; makes one if there is none.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn secrets_key(&self) -> Result<Made> {
        let file = self.file(SECRETS_KEY);
        let is_new = !file.exists();
        if is_new {
            write_secrets_key(&file)?;
        }
        let what = "what servers seal secrets with, the same for all".to_owned();
        Ok(Made { file, what, is_new, until: None })
    }
}

/// Makes a key for secrets.
///
/// # Errors
/// If the kernel gives no random bytes, or the file cannot be written.
pub fn write_secrets_key(file: &Path) -> Result<()> {
    let mut key = [0; ledger::SECRETS_KEY_BYTES];
    getrandom::fill(&mut key)?;
    write_private(file, &format!("{}\n", BASE64.encode(&key)))
}

fn with_names(owner: Owner, before: Option<&Certificate>) -> (Owner, Vec<String>) {
    let join = |names: Vec<String>| -> Vec<String> {
        let kept = before.into_iter().flat_map(|found| found.names.clone());
        let mut seen = BTreeSet::new();
        names.into_iter().chain(kept).filter(|name| seen.insert(name.clone())).collect()
    };
    match owner {
        Owner::Server(names) => {
            let names = join(names);
            (Owner::Server(names.clone()), names)
        }
        Owner::Etcd(names) => {
            let names = join(names);
            (Owner::Etcd(names.clone()), names)
        }
        owner => (owner, Vec::new()),
    }
}

fn describe(owner: &Owner) -> String {
    match owner {
        Owner::Server(names) => format!("for servers at {}", names.join(", ")),
        Owner::Etcd(names) => format!("for etcd at {}", names.join(", ")),
        Owner::Site(names) => format!("for the site at {}", names.join(", ")),
        Owner::EtcdClient(user) => format!("with which servers call etcd, as '{user}'"),
        Owner::Node(name) => format!("for the container instance '{name}'"),
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// Writes a file that others may read.
fn write_public(file: &Path, text: &str) -> Result<()> {
    write_private(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o644))
        .with_context(|| format!("letting others read {}", file.display()))
}
