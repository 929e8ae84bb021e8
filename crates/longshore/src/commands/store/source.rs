//! Where rows come from: a running server, a data folder, an etcd.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use ledger::{About, EmbeddedStore, EtcdStore, Store, StoreError};
use terms::Clock;

use crate::archive_route;
use crate::clock::SystemClock;
use crate::connection::Connection;
use crate::data_dir::DataDir;
use crate::ensemble::{StoreChoice, StoreFlags, StoreSettings};
use crate::pki::TlsFolder;
use crate::{settings, tables};

/// A store to read.
pub enum Source {
    /// One that no server has open.
    Offline {
        /// The store.
        store: Box<dyn Store>,
        /// What it is, in words.
        name: String,
    },
    /// That of a running server.
    Server(wire::client::Client),
}

impl Source {
    /// The etcd that is named; else the server that an endpoint or a profile names; else the store
    /// in the data folder, be it at rest or with the server that runs on it.
    ///
    /// # Errors
    /// If there is no store, or it cannot be opened.
    pub fn open(connection: &Connection, etcd: &EtcdFlags) -> Result<Self> {
        if let Some((store, name)) = etcd.open()? {
            return Ok(Self::Offline { store: Box::new(store), name });
        }
        if connection.endpoint.is_some() || connection.profile.is_some() {
            return Ok(Self::Server(connection.client()?));
        }
        let data = DataDir::at(settings::data_dir(connection.data_dir.clone())?);
        match open_folder(&data) {
            Ok(store) => {
                let name = format!("the data folder {}", data.path().display());
                Ok(Self::Offline { store: Box::new(store), name })
            }
            Err(error) if is_in_use(&error) && data.running().is_some() => {
                Ok(Self::Server(connection.client()?))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes an archive of it to `out`.
    ///
    /// # Errors
    /// If it cannot be read, or `out` cannot be written.
    pub async fn write(&mut self, mut out: impl Write) -> Result<()> {
        match self {
            Self::Offline { store, name } => {
                let (schema, _) = tables::without_secrets();
                waiting(|| ledger::export(&schema, &mut **store, out, &about(name)))?;
            }
            Self::Server(client) => {
                let mut answer = client.lines(archive_route::PATH).await?;
                while let Some(chunk) = answer.chunk().await? {
                    out.write_all(&chunk)?;
                }
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// Does what may wait for a disk or a network, in the middle of the runtime.
pub fn waiting<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Flags about an etcd, in place of a data folder or a server.
#[derive(Args, Clone, Debug, Default)]
pub struct EtcdFlags {
    /// The store on an etcd: etcd://HOST:PORT,HOST:PORT[/PREFIX], or etcds:// for TLS
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A folder made by `longshore init`: its authority and certificate for etcd are used
    #[arg(long, value_name = "DIR", requires = "store")]
    tls_dir: Option<PathBuf>,
    /// The authority that signed etcd's certificates, a PEM file [default: ca.crt in --tls-dir,
    /// else this machine's]
    #[arg(long, value_name = "FILE", requires = "store")]
    etcd_ca: Option<PathBuf>,
    /// A certificate for etcd, a PEM file [default: etcd-client.crt in --tls-dir]
    #[arg(long, value_name = "FILE", requires = "store")]
    etcd_cert: Option<PathBuf>,
    /// The key of that certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "store")]
    etcd_key: Option<PathBuf>,
    /// The user that etcd is to know this command by
    #[arg(long, value_name = "NAME", requires = "store")]
    etcd_user: Option<String>,
    /// A file with that user's password; LONGSHORE_ETCD_PASSWORD holds the password itself
    #[arg(long, value_name = "FILE", requires = "store")]
    etcd_password_file: Option<PathBuf>,
}

impl EtcdFlags {
    /// Whether an etcd is named.
    pub fn is_named(&self) -> bool {
        self.store.is_some()
    }

    /// The etcd's rows and what to call them, if `--store` names one.
    ///
    /// # Errors
    /// If it cannot be reached, or a flag's file not be read.
    pub fn open(&self) -> Result<Option<(EtcdStore, String)>> {
        let Some(store) = &self.store else { return Ok(None) };
        let flags = StoreFlags {
            store: self.store.clone(),
            etcd_ca: self.etcd_ca.clone(),
            etcd_cert: self.etcd_cert.clone(),
            etcd_key: self.etcd_key.clone(),
            etcd_user: self.etcd_user.clone(),
            etcd_password_file: self.etcd_password_file.clone(),
            ..StoreFlags::default()
        };
        let mut resolver = settings::Resolver::open(None)?;
        let folder = resolver.file("tls_dir", self.tls_dir.clone())?.map(TlsFolder::at);
        let settings = StoreSettings::read(&mut resolver, &flags, folder.as_ref())?;
        let StoreChoice::Etcd(settings) = settings.choice else {
            bail!("--store {store} is no etcd");
        };
        let name = format!("the etcd {}", settings.endpoints.join(","));
        Ok(Some((EtcdStore::open(*settings)?, name)))
    }
}

fn about(source: &str) -> About {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    About { program, at: SystemClock.now(), source: source.to_owned() }
}

/// The store in a data folder, which must be there.
///
/// # Errors
/// If it is not, or cannot be opened.
pub fn open_folder(data: &DataDir) -> Result<EmbeddedStore> {
    let ledger = data.ledger();
    if !ledger.join("format").exists() {
        bail!(
            "there is no store in {}; name the data folder with --data-dir, or a server with \
             --endpoint or --profile",
            data.path().display()
        );
    }
    Ok(EmbeddedStore::open(&ledger)?)
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::InUse { .. }))
}

/// A file that is there under its name only when it is whole, and that only its owner can read.
pub struct Draft {
    file: File,
    path: PathBuf,
    draft: PathBuf,
}

impl Draft {
    /// Begins the file that is to be at `path`.
    ///
    /// # Errors
    /// If its folder cannot be written.
    pub fn begin(path: &Path) -> Result<Self> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".partial");
        let draft = PathBuf::from(draft);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .with_context(|| format!("writing {}", draft.display()))?;
        Ok(Self { file, path: path.to_owned(), draft })
    }

    /// Where it is until then.
    pub fn draft(&self) -> &Path {
        &self.draft
    }

    /// What writes it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, durably.
    ///
    /// # Errors
    /// If that fails.
    pub fn keep(self) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let kept = || {
            self.file.sync_all()?;
            std::fs::rename(&self.draft, &self.path)?;
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        kept().with_context(|| format!("writing {}", self.path.display()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `keep` there is nothing under this name.
        let _ = std::fs::remove_file(&self.draft);
    }
}
