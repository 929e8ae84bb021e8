//! One container instance on this machine: runtime and agent joined.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::engine::{Capacity, Settings};
use agent::journal::FileJournal;
use agent::transport::{HttpTransport, Objects};
use agent::volumes::StandIns;
use agent::{
    Agent, AgentError, AtEnd, Config, Directory, Exchange, Gpu, HostFolders, Parts, Remains,
    STOP_TIMEOUT_AT_END, Updates,
};
use agent_protocol::SWAPPINESS_CAPABILITY;
use anyhow::Result;
use runtime::containers::{ContainerState, Containers, LinuxContainers};
use runtime::images::{self, ImageStore, Peers, PullBehavior};
use runtime::networks::{self, LinuxNetworks, NetworkOptions};
use terms::{AccountId, Clock, ClusterName, IdSource, Region};
use tokio_util::sync::CancellationToken;
use wire::sigv4::Credentials;
use wire::tls::TlsClient;

use crate::clock::{RandomIds, SystemClock};
use crate::data_dir::DataDir;
use crate::housekeeping::HouseSettings;
use crate::registries::RegistryFlags;
use crate::updating::Updater;
use crate::{instances, registries};

/// The journal's name in an instance's folder.
const JOURNAL: &str = "journal";

/// What a container instance is told.
#[derive(Clone)]
pub struct NodeSettings {
    /// The control plane's URL.
    pub server: String,
    /// Whom to trust as that, and what to show.
    pub tls: Option<TlsClient>,
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
    /// Where objects of S3 come from.
    pub objects: Objects,
    /// Whether containers reach the API through the link-local address.
    pub forwards_api: bool,
    /// What happens to its tasks at a clean end.
    pub at_end: AtEnd,
    /// What it registers.
    pub capacity: Capacity,
    /// What stands in for storage of AWS's.
    pub stand_ins: StandIns,
    /// Its GPUs.
    pub gpus: Vec<Gpu>,
    /// The control plane's installation: the name of its VPC on this machine.
    pub installation: String,
    /// Whether it has a network namespace of its own; otherwise its network is the host's.
    pub own_network: bool,
    /// Network namespaces that it keeps ready.
    pub ready_namespaces: usize,
    /// How it keeps its machine in order.
    pub house: HouseSettings,
    /// What replaces its agent's program; none: nothing does.
    pub updater: Option<Arc<Updater>>,
    /// Whether it joins as a new one when the one that it was has been deregistered.
    pub joins_anew: bool,
    /// Where it hands layers to other nodes; none: it takes no part in that.
    pub peers: Option<Exchange>,
}

/// What an instance remembers: which one it is, and its tasks. Without it the agent joins as a new
/// one, and removes the containers and networks that it finds.
pub fn journal(data: &DataDir, name: &str) -> PathBuf {
    data.node(name).join(JOURNAL)
}

/// The images of this machine's instances. `authority` is whom the server that they belong to has its
/// certificate of, if it has one; `peers`, who knows which other nodes have layers.
///
/// # Errors
/// If the store cannot be opened.
pub async fn open_images(
    data: &DataDir,
    behavior: PullBehavior,
    registries: &RegistryFlags,
    authority: Option<&Path>,
    peers: Option<Exchange>,
) -> Result<Arc<ImageStore>> {
    let folder = data.images();
    let authorities = registries.authorities(authority)?;
    // Where a server keeps its registry's blobs, if one runs on this folder too.
    let siblings = vec![data.registry()];
    let peers = peers.map(|peers| Arc::new(peers) as Arc<dyn Peers>);
    let settings =
        images::Settings { behavior, authorities, siblings, peers, ..images::Settings::default() };
    let store = move || ImageStore::open(folder, settings);
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
    let _held = instances::hold(&data.node(&settings.name))?;
    let lived = live(settings.clone(), &data, Arc::clone(&images), shutdown.clone()).await;
    match lived {
        Err(error) if settings.joins_anew && was_deregistered(&error) => {
            tracing::warn!(instance = settings.name, "it was deregistered, and joins as a new one");
            live(settings, &data, images, shutdown).await
        }
        lived => lived,
    }
}

/// Whether the instance that this one was is no more.
pub fn was_deregistered(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(AgentError::Deregistered { .. }))
}

/// One life of an instance. Whatever comes of it, nothing is left that no container uses.
async fn live(
    settings: NodeSettings,
    data: &DataDir,
    images: Arc<ImageStore>,
    shutdown: CancellationToken,
) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (folder, run) = (data.node(&settings.name), data.run(&settings.name));
    let containers = LinuxContainers::open(&folder, &data.programs(), clock.clone()).await?;
    let containers: Arc<dyn Containers> = Arc::new(containers);
    let options = NetworkOptions {
        vpc: Some(settings.installation.clone()),
        own: settings.own_network,
        ready: settings.ready_namespaces,
        ..NetworkOptions::default()
    };
    let networks = match LinuxNetworks::open(&folder, &run, options).await {
        Ok(networks) => Arc::new(networks),
        Err(error) => {
            if !any_alive(&*containers).await {
                // Half made; what it failed with says more than what this may fail with.
                _ = networks::sweep(&folder, &run).await;
            }
            return Err(error.into());
        }
    };
    let engine = (containers.clone(), networks.clone());
    let lived = serve(settings, folder, images, engine, shutdown).await;
    // One in host mode uses the instance's own namespace, though nothing is attached for it.
    let closed = match any_alive(&*containers).await {
        true => networks.leave().await,
        false => networks.close().await,
    };
    lived?;
    Ok(closed?)
}

/// Whether any container outlives this process.
async fn any_alive(containers: &dyn Containers) -> bool {
    containers.list().await.iter().any(|status| !matches!(status.state, ContainerState::Exited(_)))
}

async fn serve(
    settings: NodeSettings,
    folder: PathBuf,
    images: Arc<ImageStore>,
    (containers, networks): (Arc<dyn Containers>, Arc<LinuxNetworks>),
    shutdown: CancellationToken,
) -> Result<()> {
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>) =
        (Arc::new(SystemClock), Arc::new(RandomIds));
    let journal = FileJournal::open(&folder.join(JOURNAL))?;
    let credentials = settings.credentials.clone();
    let transport =
        HttpTransport::new(&settings.server, credentials, settings.region.clone(), clock.clone())
            .with_tls(settings.tls.clone())
            .with_objects(settings.objects.clone());
    let transport = match &settings.updater {
        Some(updater) => transport.with_hash(&updater.hash()),
        None => transport,
    };
    let updates = settings.updater.clone().map(|updater| updater as Arc<dyn Updates>);
    let address = networks.address().map(IpAddr::from);
    let address = address.or_else(|| instances::address_towards(&settings.server));
    let folders = Arc::new(HostFolders);
    let remains = Remains {
        images: images.clone(),
        containers: containers.clone(),
        networks: networks.clone(),
        folders: folders.clone(),
        stand_ins: settings.stand_ins.clone(),
        clock: clock.clone(),
    };
    let joins_anew = settings.joins_anew;
    let parts = Parts {
        images,
        containers,
        networks,
        folders,
        transport: Arc::new(transport),
        journal: Box::new(journal),
        clock,
        ids,
        updates,
        peers: settings.peers.clone(),
    };
    let config = config(settings, folder.clone(), address)?;
    let lived = Agent::run(config, parts, Directory::default(), shutdown).await;
    if joins_anew && matches!(lived, Err(AgentError::Deregistered { .. })) {
        let journal = Box::new(FileJournal::open(&folder.join(JOURNAL))?);
        agent::leave(journal, remains, &folder).await?;
    }
    Ok(lived?)
}

fn config(settings: NodeSettings, folder: PathBuf, address: Option<IpAddr>) -> Result<Config> {
    Ok(Config {
        server: settings.server,
        tls: settings.tls,
        cluster: settings.cluster,
        name: settings.name,
        zone: Some(settings.zone),
        instance_type: settings.instance_type,
        attributes: settings.attributes.into_iter().chain(swappiness()).collect(),
        address,
        folder,
        account: settings.account,
        region: settings.region,
        capacity: settings.capacity,
        settings: engine_settings(&settings.house),
        stand_ins: settings.stand_ins,
        gpus: settings.gpus,
        registries: settings
            .registry_auth
            .as_deref()
            .map_or(Ok(BTreeMap::new()), registries::read)?,
        forwards_api: settings.forwards_api,
        at_end: settings.at_end,
        stop_timeout_at_end: STOP_TIMEOUT_AT_END,
        house: settings.house.house,
    })
}

/// What says that containers' swappiness can be set, if it can.
fn swappiness() -> Option<(String, String)> {
    let name = SWAPPINESS_CAPABILITY.to_owned();
    runtime::containers::has_swappiness().then(|| (name, "cgroup-v1".to_owned()))
}

fn engine_settings(house: &HouseSettings) -> Settings {
    let settings = Settings::default();
    Settings { cleanup_wait: house.task_cleanup_wait.unwrap_or(settings.cleanup_wait), ..settings }
}
