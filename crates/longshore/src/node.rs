//! One container instance on this machine: runtime and agent joined.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use agent::engine::Settings;
use agent::journal::FileJournal;
use agent::transport::HttpTransport;
use agent::{Agent, AtEnd, Config, Directory, Parts, STOP_TIMEOUT_AT_END, detect_capacity};
use anyhow::{Context, Result};
use runtime::containers::LinuxContainers;
use runtime::images::{self, ImageStore};
use runtime::networks::{LinuxNetworks, NetworkOptions};
use terms::{AccountId, Clock, ClusterName, IdSource, Region};
use tokio_util::sync::CancellationToken;
use wire::sigv4::Credentials;

use crate::clock::{RandomIds, SystemClock};
use crate::data_dir::DataDir;
use crate::registries;

/// What a container instance is told.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The control plane's URL.
    pub server: String,
    /// The instance's own key.
    pub credentials: Credentials,
    /// The cluster to join.
    pub cluster: ClusterName,
    /// The instance's name on this machine.
    pub name: String,
    /// Its availability zone.
    pub zone: String,
    /// Its instance type, if it says one.
    pub instance_type: Option<String>,
    /// Its custom attributes.
    pub attributes: BTreeMap<String, String>,
    /// The account that its tasks belong to.
    pub account: AccountId,
    /// The region that it signs for.
    pub region: Region,
    /// Docker's `config.json` with credentials for registries.
    pub registry_auth: Option<PathBuf>,
    /// Whether containers reach the API through the link-local address.
    pub forwards_api: bool,
    /// What happens to its tasks at a clean end.
    pub at_end: AtEnd,
}

/// Runs a container instance until `shutdown`.
///
/// # Errors
/// If this machine cannot run containers, or the control plane refuses the instance for good.
pub async fn run(settings: NodeSettings, data: DataDir, shutdown: CancellationToken) -> Result<()> {
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>) =
        (Arc::new(SystemClock), Arc::new(RandomIds));
    let folder = data.node(&settings.name);
    let images_folder = data.images();
    let store = move || ImageStore::open(images_folder, images::Settings::default());
    let images = tokio::task::spawn_blocking(store).await??;
    let containers = LinuxContainers::open(&folder, &data.programs(), clock.clone()).await?;
    let options = NetworkOptions::default();
    let networks = LinuxNetworks::open(&folder, &data.run(&settings.name), options).await?;
    let networks = Arc::new(networks);
    let journal = FileJournal::open(&folder.join("journal"))?;
    let credentials = settings.credentials.clone();
    let transport =
        HttpTransport::new(&settings.server, credentials, settings.region.clone(), clock.clone());
    let parts = Parts {
        images: Arc::new(images),
        containers: Arc::new(containers),
        networks: networks.clone(),
        transport: Arc::new(transport),
        journal: Box::new(journal),
        clock,
        ids,
    };
    let at_end = settings.at_end;
    let config = config(settings, folder)?;
    Agent::run(config, parts, Directory::default(), shutdown).await?;
    if at_end == AtEnd::StopAll {
        networks.close().await?;
    }
    Ok(())
}

fn config(settings: NodeSettings, folder: PathBuf) -> Result<Config> {
    let capacity = detect_capacity().context("reading what this machine has")?;
    Ok(Config {
        server: settings.server,
        cluster: settings.cluster,
        name: settings.name,
        zone: Some(settings.zone),
        instance_type: settings.instance_type,
        attributes: settings.attributes,
        folder,
        account: settings.account,
        region: settings.region,
        capacity,
        settings: Settings::default(),
        registries: settings
            .registry_auth
            .as_deref()
            .map_or(Ok(BTreeMap::new()), registries::read)?,
        forwards_api: settings.forwards_api,
        at_end: settings.at_end,
        stop_timeout_at_end: STOP_TIMEOUT_AT_END,
    })
}
