//! The registry joined to the rest of the server.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use cloudtrail::Trail;
use distribution::{Authorities, Http};
use ecr::{Challenge, Depot, Ecr, EcrSetup, Scope, Seal, Tables};
use ecs::OwnRegistry;
use iam::Iam;
use ledger::Ledger;
use secrets::Secrets;
use serde::{Deserialize, Serialize};
use terms::IdSource;

use crate::data_dir::{DataDir, Running};
use crate::destinations;
use crate::ensemble::{StoreChoice, settled};
use crate::image_store::ImageStore;
use crate::settings::{Auth, Resolver, ServerSettings};

/// Another registry may send nothing for so long.
const IDLE: Duration = Duration::from_secs(60);

/// What clients of the registry are asked for that have not logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistryChallenge {
    /// User and password with each request, as ECR does.
    Basic,
    /// A token, which the registry gives for user and password.
    Bearer,
}

impl FromStr for RegistryChallenge {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
    }
}

impl Display for RegistryChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
        })
    }
}

/// Flags of `up` and `server` about their own registry.
#[derive(Args, Clone, Debug, Default)]
pub struct OwnRegistryFlags {
    /// The host, and port if need be, by which clients and agents reach the registry: what
    /// repositoryUri begins with [default: the address that the client called]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub registry_host: Option<String>,
    /// What clients of the registry are asked for that have not logged in [default: basic]
    #[arg(long, value_enum)]
    pub registry_challenge: Option<RegistryChallenge>,
    /// A TOML file with the registries that images can be replicated to, and their keys
    #[arg(long, value_name = "FILE")]
    pub registry_destinations: Option<PathBuf>,
    /// Certificates, in PEM form, of an authority that registries have theirs of which images are
    /// pulled through from or replicated to, besides those that the system trusts
    #[arg(long, value_name = "FILE")]
    pub registry_upstream_ca: Option<PathBuf>,
    /// Advisories in OSV's form that images are scanned for: a folder with files of JSON, or with zips
    /// as osv.dev gives them out, or one such zip. What changes there counts from the next scan on
    #[arg(long, value_name = "PATH")]
    pub registry_osv: Option<PathBuf>,
    /// Keep the registry's images in a bucket, which servers of one store share:
    /// s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION]; an endpoint is https://HOST[:PORT], or
    /// http://… for one without TLS [default: in the data folder; with several servers nowhere]
    #[arg(long, value_name = "URL")]
    pub registry_store: Option<String>,
    /// A file with the keys for that, in the form of ~/.aws/credentials
    /// [default: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub registry_store_credentials: Option<PathBuf>,
}

/// What they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRegistrySettings {
    /// What images are named by, if not by the address that was called.
    pub host: Option<String>,
    /// What clients are asked for that have not logged in.
    pub challenge: Option<RegistryChallenge>,
    /// Where images can be replicated to.
    pub destinations: Option<PathBuf>,
    /// Whom to trust besides.
    pub upstream_ca: Option<PathBuf>,
    /// What images are scanned for.
    pub osv: Option<PathBuf>,
    /// The bucket that images are in, if not the data folder.
    pub store: Option<ImageStore>,
}

impl OwnRegistrySettings {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read.
    pub fn read(resolver: &mut Resolver, flags: &OwnRegistryFlags) -> Result<Self> {
        let OwnRegistryFlags { registry_destinations, registry_upstream_ca, registry_osv, .. } =
            flags.clone();
        let store = ImageStore::read(
            resolver,
            flags.registry_store.clone(),
            flags.registry_store_credentials.clone(),
        )?;
        Ok(Self {
            host: resolver.optional("registry_host", flags.registry_host.clone())?,
            challenge: resolver.optional("registry_challenge", flags.registry_challenge)?,
            destinations: resolver.file("registry_destinations", registry_destinations)?,
            upstream_ca: resolver.file("registry_upstream_ca", registry_upstream_ca)?,
            osv: resolver.file("registry_osv", registry_osv)?,
            store,
        })
    }

    /// Whom other registries, and the bucket, may have their certificates of.
    fn authorities(&self) -> Result<Authorities> {
        let files: Vec<_> = self.upstream_ca.iter().collect();
        Authorities::read(&files).context("--registry-upstream-ca")
    }

    /// How other registries are spoken to.
    fn client(&self) -> Result<Arc<Http>> {
        Ok(Arc::new(Http::new(IDLE, self.authorities()?)))
    }

    /// Where advisories are, which must be there when the server starts.
    fn advisories(&self) -> Result<Option<PathBuf>> {
        if let Some(path) = &self.osv {
            std::fs::metadata(path)
                .with_context(|| format!("--registry-osv: reading {}", path.display()))?;
        }
        Ok(self.osv.clone())
    }
}

/// The service over its tables. Where several servers share a store and no bucket, it has no place for
/// bytes, and says so to its clients.
///
/// # Errors
/// If the folder or bucket for images cannot be used.
pub async fn join(
    tables: Tables,
    ledger: &Ledger,
    (iam, trail, secrets, installation): (&Iam, &Trail, &Secrets, &str),
    settings: &ServerSettings,
    data: &DataDir,
    ids: Arc<dyn IdSource>,
) -> Result<Ecr> {
    let depot = match (&settings.registry.store, &settings.store.choice) {
        (Some(store), _) => {
            let authorities = settings.registry.authorities()?;
            let rows = (ledger, tables, Arc::clone(&ids));
            Some(store.open(authorities, installation, rows, data.registry()).await?)
        }
        (None, StoreChoice::Embedded) => {
            let (folder, siblings) = (data.registry(), [data.images().join("blobs")]);
            let open = move || Depot::open(&folder, &siblings);
            Some(tokio::task::spawn_blocking(open).await??)
        }
        (None, StoreChoice::Etcd(_)) => None,
    };
    if let Some(depot) = &depot {
        depot.check(ledger, &tables)?;
    }
    let ServerSettings { account, region, .. } = settings;
    let setup = EcrSetup {
        authenticator: Arc::new(iam.clone()),
        identities: Some(iam.clone()),
        auditor: Some(Arc::new(trail.clone())),
        ids,
        home: Scope { account: account.clone(), region: region.clone() },
        is_open: settings.auth == Auth::Open,
        depot,
        host: settings.registry.host.clone(),
        challenge: match settings.registry.challenge {
            None | Some(RegistryChallenge::Basic) => Challenge::Basic,
            Some(RegistryChallenge::Bearer) => Challenge::Bearer,
        },
        secrets: secrets.clone(),
        client: settings.registry.client()?,
        destinations: destinations::read(settings.registry.destinations.as_deref())?,
        advisories: settings.registry.advisories()?,
    };
    let seal = settled(async || Seal::open(ledger, &tables).await).await?;
    Ok(Ecr::new(seal, tables, ledger.clone(), setup))
}

/// Where agents reach the registry, and what its images are named by besides ECR's names; none where
/// it has no place for bytes.
pub fn beside(settings: &ServerSettings, running: &Running) -> Option<OwnRegistry> {
    let is_shared = matches!(settings.store.choice, StoreChoice::Etcd(_));
    if is_shared && settings.registry.store.is_none() {
        return None;
    }
    let url = settings.agent_endpoint.clone().unwrap_or_else(|| running.endpoint.clone());
    let host = |url: &str| {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        host.trim_end_matches('/').to_owned()
    };
    let mut hosts = vec![host(&url), host(&running.endpoint)];
    hosts.extend(settings.registry.host.clone());
    // What repositoryUri says for the loopback address.
    let local =
        host(&running.endpoint).strip_prefix("127.0.0.1").map(|port| format!("localhost{port}"));
    hosts.extend(local);
    hosts.dedup();
    Some(OwnRegistry { url, hosts })
}
