//! One container instance on this machine: runtime and agent joined.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agent::engine::{Capacity, Settings};
use agent::journal::FileJournal;
use agent::transport::HttpTransport;
use agent::{Agent, AtEnd, Config, Directory, Parts, STOP_TIMEOUT_AT_END};
use anyhow::Result;
use runtime::containers::LinuxContainers;
use runtime::images::{self, ImageStore};
use runtime::networks::{LinuxNetworks, NetworkOptions};
use terms::{AccountId, Clock, ClusterName, IdSource, Region};
use tokio_util::sync::CancellationToken;
use wire::sigv4::Credentials;

use crate::clock::{RandomIds, SystemClock};
use crate::data_dir::DataDir;
use crate::{instances, registries};

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
    /// What it registers.
    pub capacity: Capacity,
    /// The control plane's installation: the name of its VPC on this machine.
    pub installation: String,
    /// Whether it has a network namespace of its own; otherwise its network is the host's.
    pub own_network: bool,
    /// Network namespaces that it keeps ready.
    pub ready_namespaces: usize,
}

/// The images of this machine's instances.
///
/// # Errors
/// If the store cannot be opened.
pub async fn open_images(data: &DataDir) -> Result<Arc<ImageStore>> {
    let folder = data.images();
    let store = move || ImageStore::open(folder, images::Settings::default());
    Ok(Arc::new(tokio::task::spawn_blocking(store).await??))
}

/// Runs a container instance until `shutdown`.
///
/// # Errors
/// If this machine cannot run containers, or the control plane refuses the instance for good.
pub async fn run(
    settings: NodeSettings,
    data: DataDir,
    images: Arc<ImageStore>,
    shutdown: CancellationToken,
) -> Result<()> {
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>) =
        (Arc::new(SystemClock), Arc::new(RandomIds));
    let folder = data.node(&settings.name);
    let _held = instances::hold(&folder)?;
    let containers = LinuxContainers::open(&folder, &data.programs(), clock.clone()).await?;
    let options = NetworkOptions {
        vpc: Some(settings.installation.clone()),
        own: settings.own_network,
        ready: settings.ready_namespaces,
        ..NetworkOptions::default()
    };
    let networks = LinuxNetworks::open(&folder, &data.run(&settings.name), options).await?;
    let networks = Arc::new(networks);
    let journal = FileJournal::open(&folder.join("journal"))?;
    let credentials = settings.credentials.clone();
    let transport =
        HttpTransport::new(&settings.server, credentials, settings.region.clone(), clock.clone());
    let parts = Parts {
        images,
        containers: Arc::new(containers),
        networks: networks.clone(),
        transport: Arc::new(transport),
        journal: Box::new(journal),
        clock,
        ids,
    };
    let at_end = settings.at_end;
    let address = networks.address().map(IpAddr::from);
    let address = address.or_else(|| instances::address_towards(&settings.server));
    let config = config(settings, folder, address)?;
    let lived = Agent::run(config, parts, Directory::default(), shutdown).await;
    // One that was refused has made its network, too; what containers use stays.
    let closed = match at_end {
        AtEnd::StopAll => networks.close().await,
        AtEnd::LeaveRunning => Ok(()),
    };
    lived?;
    Ok(closed?)
}

fn config(settings: NodeSettings, folder: PathBuf, address: Option<IpAddr>) -> Result<Config> {
    Ok(Config {
        server: settings.server,
        cluster: settings.cluster,
        name: settings.name,
        zone: Some(settings.zone),
        instance_type: settings.instance_type,
        attributes: settings.attributes,
        address,
        folder,
        account: settings.account,
        region: settings.region,
        capacity: settings.capacity,
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
