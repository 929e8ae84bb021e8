//! Networks of this host: one bridge an instance, one namespace a container.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::ContainerId;

use super::attachments::publications;
use super::bridge::{self, Bridge, io_error};
use super::firewall::{self, Firewall, Publication};
use super::leftovers::{forget_unused, recall, remove_namespace, take_down_bridge};
use super::namespaces::Ground;
use super::netlink::{Family, Socket};
use super::place::{self, Place};
use super::ports::Ports;
use super::vpc::Vpc;
use super::{
    Attachment, Interface, Listener, NetworkError, Networks, OwnNetwork, PortMapping, Subnet,
    TaskNetwork, links, namespaces, tasks,
};

/// Namespaces that are made ahead of need, so that a container finds its own ready.
pub const READY_NAMESPACES: usize = 4;

/// How long after an attachment the next namespace is made ahead: the container whose network this
/// was is being created just then, and is to have the processor.
const REFILL_PAUSE: Duration = Duration::from_millis(150);

/// What an instance's network is to be like.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// The bridge's name; none is the first free `longshoreN`.
    pub bridge: Option<String>,
    /// The bridge's subnet; none is the first that no route of the host overlaps. Once chosen it is
    /// kept.
    pub subnet: Option<Subnet>,
    /// The link-local address of the instance's own endpoints.
    pub endpoint: Ipv4Addr,
    /// How many namespaces are kept ready.
    pub ready: usize,
    /// The VPC's name: that of the control plane's installation, so that all its instances on this
    /// machine share one. None is no awsvpc.
    pub vpc: Option<String>,
    /// Whether the instance's bridge and published ports are in a namespace of its own, with an
    /// address in the VPC; otherwise they are the host's.
    pub own: bool,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            bridge: None,
            subnet: None,
            endpoint: Ipv4Addr::new(169, 254, 170, 2),
            ready: READY_NAMESPACES,
            vpc: None,
            own: false,
        }
    }
}

/// Networks of this host. Dropping it leaves what containers use.
pub struct LinuxNetworks {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// One record for each attachment, `<address>.json`, and each task, `task-<id>.json`.
    pub(super) folder: PathBuf,
    /// The namespaces' files, `<address>`.
    namespaces: PathBuf,
    run: PathBuf,
    pub(super) place: Place,
    /// Where the bridge is.
    ground: Ground,
    /// Opened by the first who needs it.
    pub(super) vpc: Mutex<Option<Arc<Vpc>>>,
    pub(super) bridge: Bridge,
    pub(super) bridge_index: u32,
    /// The bridge address of the namespace that [`Networks::listen`] listens in.
    pub(super) endpoints: Ipv4Addr,
    /// Whether the route of the host to it is this instance's.
    is_found_from_host: bool,
    pub(super) options: NetworkOptions,
    pub(super) route: Mutex<Socket>,
    pub(super) firewall: Mutex<Firewall>,
    pub(super) state: Mutex<State>,
    pub(super) refilling: AtomicBool,
    /// Held while namespaces are made ahead, so that closing leaves none half made.
    pub(super) making: Mutex<()>,
    pub(super) closed: AtomicBool,
}

pub(super) struct State {
    pub(super) attachments: BTreeMap<ContainerId, Attachment>,
    pub(super) tasks: BTreeMap<String, TaskNetwork>,
    pub(super) ready: VecDeque<Ipv4Addr>,
    pub(super) taken: BTreeSet<Ipv4Addr>,
    pub(super) last: Ipv4Addr,
    pub(super) ports: Ports,
}

/// What is settled before the bridge's namespace is entered.
struct Basis {
    folder: PathBuf,
    run: PathBuf,
    place: Place,
    ground: Ground,
    vpc: Mutex<Option<Arc<Vpc>>>,
    options: NetworkOptions,
}

/// What an earlier process left in use.
struct Found {
    attachments: Vec<Attachment>,
    tasks: Vec<TaskNetwork>,
}

impl LinuxNetworks {
    /// Opens the network of the instance of `node_folder` (`DATA/node`), with its namespaces' files
    /// in `run_folder` (`DATA/run`). What an earlier process attached is taken up again.
    ///
    /// # Errors
    /// Fails if the bridge or the firewall's table cannot be made; the text says which.
    pub async fn open(
        node_folder: &Path,
        run_folder: &Path,
        options: NetworkOptions,
    ) -> Result<Self, NetworkError> {
        let (folder, run) = (node_folder.join("networks"), run_folder.to_owned());
        let inner = blocking(move || Inner::open(&folder, &run, options)).await?;
        let networks = Self { inner: Arc::new(inner) };
        networks.refill(Duration::ZERO);
        Ok(networks)
    }

    /// The instance's own address, if it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.inner.place.own
    }

    /// The bridge's name; the firewall's table has the same.
    pub fn bridge(&self) -> &str {
        &self.inner.bridge.name
    }

    /// The bridge's subnet.
    pub fn subnet(&self) -> Subnet {
        self.inner.bridge.subnet
    }

    /// Takes away what no container uses: the ready namespaces and, if nothing is attached, the
    /// bridge and the firewall's table, the instance's own namespace, and the VPC after its last
    /// user.
    ///
    /// # Errors
    /// Fails if something could not be removed.
    pub async fn close(&self) -> Result<(), NetworkError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.close()).await
    }

    /// Takes away the ready namespaces alone: everything else stays for containers that outlive this
    /// process, and for the next one, which finds it.
    ///
    /// # Errors
    /// Fails if the work was given up.
    pub async fn leave(&self) -> Result<(), NetworkError> {
        let inner = Arc::clone(&self.inner);
        let leave = move || {
            inner.drop_ready();
            Ok(())
        };
        blocking(leave).await
    }

    /// Makes ready namespaces in the background, up to the wanted number.
    fn refill(&self, pause: Duration) {
        let inner = Arc::clone(&self.inner);
        if !inner.refilling.swap(true, Ordering::AcqRel) {
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                tokio::task::spawn_blocking(move || inner.refill()).await
            });
        }
    }
}

impl Inner {
    fn open(folder: &Path, run: &Path, options: NetworkOptions) -> Result<Self, NetworkError> {
        for made in [folder, &run.join("netns")] {
            fs::create_dir_all(made)
                .map_err(io_error(format!("cannot make {}", made.display())))?;
        }
        let canonical =
            |path: &Path| path.canonicalize().map_err(io_error(format!("{}", path.display())));
        let (folder, run) = (canonical(folder)?, canonical(run)?);
        let found = Found { attachments: recall(&folder), tasks: tasks::recall(&folder) };
        let in_use = !found.attachments.is_empty() || !found.tasks.is_empty();
        let had_vpc = place::recall(&folder).has_vpc();
        let (place, vpc) = Place::settle(&folder, &run, &options, in_use)?;
        let ground = place.ground(&run);
        let vpc = Mutex::new(vpc.map(Arc::new));
        let basis = Basis { folder, run, place, ground: ground.clone(), vpc, options };
        let inner = ground.run(|| Self::open_here(basis, found))?;
        // After a crash there may be claims without a task.
        if had_vpc {
            inner.vpc()?;
        }
        inner.forget_lost_claims()?;
        Ok(inner)
    }

    /// The part that is done in the namespace of the instance's bridge.
    fn open_here(basis: Basis, found: Found) -> Result<Self, NetworkError> {
        let Basis { folder, run, place, ground, vpc, options } = basis;
        let Found { attachments, tasks } = found;
        let namespaces = run.join("netns");
        let route =
            Socket::open(Family::Route).map_err(io_error("cannot reach the kernel's routes"))?;
        let alone = place.own.is_some();
        let bridge =
            bridge::ensure(&route, &folder, options.bridge.as_deref(), options.subnet, alone)?;
        bridge::open_ways(&bridge.name)?;
        let bridge_index =
            links::index(&bridge.name).map_err(io_error(format!("bridge {}", bridge.name)))?;

        let of_containers = attachments.iter().map(|attachment| attachment.address);
        let mut taken: BTreeSet<_> =
            of_containers.chain(tasks.iter().map(|network| network.local)).collect();
        forget_unused(&route, &namespaces, &taken);
        let mut ports = Ports::default();
        for binding in attachments.iter().flat_map(|attachment| &attachment.bindings) {
            if let Err(error) = ports.take_one(binding.protocol, binding.host_port) {
                tracing::warn!(%error, "a published port is not held any more");
            }
        }
        let published: Vec<Publication> = attachments.iter().flat_map(publications).collect();
        let firewall = Firewall::install(&bridge.name, bridge.subnet, &published)?;
        if !alone {
            firewall::open_iptables(&bridge.name);
        }

        let last = taken.last().copied().unwrap_or(bridge.subnet.gateway());
        // A container that an earlier version put there keeps it.
        let endpoints = bridge.subnet.next_free(bridge.subnet.gateway(), &taken);
        let endpoints = endpoints
            .ok_or_else(|| NetworkError::NoFreeAddress { subnet: bridge.subnet.to_string() })?;
        taken.insert(endpoints);
        let state = State {
            last,
            attachments: attachments.into_iter().map(|a| (a.container.clone(), a)).collect(),
            tasks: tasks.into_iter().map(|network| (network.task.clone(), network)).collect(),
            ready: VecDeque::new(),
            taken,
            ports,
        };
        let mut inner = Self {
            folder,
            namespaces,
            run,
            place,
            ground,
            vpc,
            bridge,
            bridge_index,
            endpoints,
            is_found_from_host: false,
            options,
            route: Mutex::new(route),
            firewall: Mutex::new(firewall),
            state: Mutex::new(state),
            refilling: AtomicBool::new(false),
            making: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        inner.is_found_from_host = inner.make_endpoints()?;
        Ok(inner)
    }

    pub(super) fn namespace(&self, address: Ipv4Addr) -> PathBuf {
        self.namespaces.join(address.to_string())
    }

    pub(super) fn record(&self, address: Ipv4Addr) -> PathBuf {
        self.folder.join(format!("{address}.json"))
    }

    /// No more is made ahead after this.
    fn drop_ready(&self) {
        self.closed.store(true, Ordering::Release);
        let _making = self.making.lock();
        let ready = std::mem::take(&mut self.state.lock().ready);
        for address in ready {
            remove_namespace(&self.route.lock(), &self.namespace(address), address);
        }
    }

    fn close(&self) -> Result<(), NetworkError> {
        self.drop_ready();
        remove_namespace(&self.route.lock(), &self.namespace(self.endpoints), self.endpoints);
        let in_use = {
            let state = self.state.lock();
            !state.attachments.is_empty() || !state.tasks.is_empty()
        };
        if in_use {
            return Ok(());
        }
        // The bridge of an instance's own namespace goes with that.
        match self.place.own {
            Some(_) => bridge::forget(&self.folder),
            None => take_down_bridge(&self.route.lock(), &self.folder, &self.bridge.name)?,
        }
        self.place.clear(&self.folder, &self.run)
    }
}

#[async_trait]
impl Networks for LinuxNetworks {
    async fn attach(
        &self,
        container: &ContainerId,
        ports: &[PortMapping],
    ) -> Result<Attachment, NetworkError> {
        let (inner, container, ports) =
            (Arc::clone(&self.inner), container.clone(), ports.to_vec());
        let attach = move || inner.ground.clone().run(|| inner.attach(&container, &ports));
        let attachment = blocking(attach).await;
        self.refill(REFILL_PAUSE);
        attachment
    }

    async fn detach(&self, container: &ContainerId) -> Result<(), NetworkError> {
        let (inner, container) = (Arc::clone(&self.inner), container.clone());
        blocking(move || inner.detach(&container)).await
    }

    async fn attach_task(
        &self,
        task: &str,
        interface: &Interface,
    ) -> Result<TaskNetwork, NetworkError> {
        let (inner, task, interface) =
            (Arc::clone(&self.inner), task.to_owned(), interface.clone());
        let attached = blocking(move || inner.attach_task(&task, &interface)).await;
        self.refill(REFILL_PAUSE);
        attached
    }

    async fn detach_task(&self, task: &str) -> Result<(), NetworkError> {
        let (inner, task) = (Arc::clone(&self.inner), task.to_owned());
        blocking(move || inner.detach_task(&task)).await
    }

    async fn task_networks(&self) -> Vec<TaskNetwork> {
        self.inner.state.lock().tasks.values().cloned().collect()
    }

    fn is_found_from_host(&self) -> bool {
        self.inner.is_found_from_host
    }

    fn own(&self) -> Option<OwnNetwork> {
        let address = self.inner.place.own?;
        Some(OwnNetwork { namespace: place::namespace(&self.inner.run), address })
    }

    async fn listen(&self, address: SocketAddr) -> Result<Box<dyn Listener>, NetworkError> {
        let fail = move |source| NetworkError::Listen { address, source };
        let namespace = self.inner.namespace(self.inner.endpoints);
        let listener = blocking(move || {
            namespaces::enter(&namespace, || std::net::TcpListener::bind(address))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(fail)
        })
        .await?;
        Ok(Box::new(TcpListener::from_std(listener).map_err(fail)?))
    }

    async fn list(&self) -> Vec<Attachment> {
        self.inner.state.lock().attachments.values().cloned().collect()
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(io_error("the work was given up")(io::Error::other(error))),
    }
}
