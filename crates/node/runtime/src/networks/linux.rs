//! Networks of this host: one bridge an instance, one namespace a container.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::ContainerId;

use super::bridge::{self, Bridge, io_error, mac};
use super::firewall::{self, Firewall, Publication};
use super::leftovers::{forget_unused, interface, recall, remove_namespace, take_down_bridge};
use super::netlink::{Family, Message, Socket};
use super::ports::Ports;
use super::{
    Attachment, NetworkError, Networks, PortBinding, PortMapping, Subnet, links, namespaces,
};

/// Namespaces that are made ahead of need, so that a container finds its own ready.
pub const READY_NAMESPACES: usize = 4;

/// How long after an attachment the next namespace is made ahead: the container whose network this
/// was is being created just then, and is to have the processor.
const REFILL_PAUSE: Duration = Duration::from_millis(150);

/// The loopback interface's index, in every namespace.
const LOOPBACK: u32 = 1;

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
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            bridge: None,
            subnet: None,
            endpoint: Ipv4Addr::new(169, 254, 170, 2),
            ready: READY_NAMESPACES,
        }
    }
}

/// Networks of this host. Dropping it leaves what containers use.
pub struct LinuxNetworks {
    inner: Arc<Inner>,
}

struct Inner {
    /// One record for each attachment, `<address>.json`.
    folder: PathBuf,
    /// The namespaces' files, `<address>`.
    namespaces: PathBuf,
    bridge: Bridge,
    bridge_index: u32,
    /// The bridge address of the namespace that [`Networks::listen`] listens in.
    endpoints: Ipv4Addr,
    options: NetworkOptions,
    route: Mutex<Socket>,
    firewall: Mutex<Firewall>,
    state: Mutex<State>,
    refilling: AtomicBool,
    /// Held while namespaces are made ahead, so that closing leaves none half made.
    making: Mutex<()>,
    closed: AtomicBool,
}

struct State {
    attachments: BTreeMap<ContainerId, Attachment>,
    ready: VecDeque<Ipv4Addr>,
    taken: BTreeSet<Ipv4Addr>,
    last: Ipv4Addr,
    ports: Ports,
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
        let (folder, namespaces) = (node_folder.join("networks"), run_folder.join("netns"));
        let inner = blocking(move || Inner::open(&folder, &namespaces, options)).await?;
        let networks = Self { inner: Arc::new(inner) };
        networks.refill(Duration::ZERO);
        Ok(networks)
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
    /// bridge and the firewall's table.
    ///
    /// # Errors
    /// Fails if something could not be removed.
    pub async fn close(&self) -> Result<(), NetworkError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.close()).await
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
    fn open(
        folder: &Path,
        namespaces: &Path,
        options: NetworkOptions,
    ) -> Result<Self, NetworkError> {
        for made in [folder, namespaces] {
            fs::create_dir_all(made)
                .map_err(io_error(format!("cannot make {}", made.display())))?;
        }
        let canonical =
            |path: &Path| path.canonicalize().map_err(io_error(format!("{}", path.display())));
        let (folder, namespaces) = (canonical(folder)?, canonical(namespaces)?);
        let route =
            Socket::open(Family::Route).map_err(io_error("cannot reach the kernel's routes"))?;
        let bridge = bridge::ensure(&route, &folder, options.bridge.as_deref(), options.subnet)?;
        bridge::open_ways(&bridge.name)?;
        let bridge_index =
            links::index(&bridge.name).map_err(io_error(format!("bridge {}", bridge.name)))?;

        let attachments = recall(&folder);
        forget_unused(&route, &namespaces, &attachments);
        let mut ports = Ports::default();
        for binding in attachments.iter().flat_map(|attachment| &attachment.bindings) {
            if let Err(error) = ports.take_one(binding.protocol, binding.host_port) {
                tracing::warn!(%error, "a published port is not held any more");
            }
        }
        let published: Vec<Publication> = attachments.iter().flat_map(publications).collect();
        let firewall = Firewall::install(&bridge.name, bridge.subnet, &published)?;
        firewall::open_iptables(&bridge.name);

        let mut taken: BTreeSet<_> = attachments.iter().map(|a| a.address).collect();
        // A container that an earlier version put there keeps it.
        let endpoints = bridge.subnet.next_free(bridge.subnet.gateway(), &taken);
        let endpoints = endpoints
            .ok_or_else(|| NetworkError::NoFreeAddress { subnet: bridge.subnet.to_string() })?;
        taken.insert(endpoints);
        let state = State {
            last: attachments.iter().map(|a| a.address).max().unwrap_or(bridge.subnet.gateway()),
            attachments: attachments.into_iter().map(|a| (a.container.clone(), a)).collect(),
            ready: VecDeque::new(),
            taken,
            ports,
        };
        let inner = Self {
            folder,
            namespaces,
            bridge,
            bridge_index,
            endpoints,
            options,
            route: Mutex::new(route),
            firewall: Mutex::new(firewall),
            state: Mutex::new(state),
            refilling: AtomicBool::new(false),
            making: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        inner.make_endpoints()?;
        Ok(inner)
    }

    /// Makes the namespace of the instance's own endpoints, a neighbour of the containers'.
    fn make_endpoints(&self) -> Result<(), NetworkError> {
        let (endpoint, gateway) = (self.options.endpoint, self.bridge.subnet.gateway());
        self.make_neighbour(self.endpoints, |eth0| links::add_address(eth0, endpoint, 32))?;
        // Containers in the host's network find it by this route; of several instances on one
        // host the first answers them.
        let route = links::add_neighbour_route(endpoint, self.bridge_index, gateway);
        match self.route.lock().request(vec![route]) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error(format!("cannot add a route to {endpoint}"))(error))
            }
            _ => Ok(()),
        }
    }

    fn namespace(&self, address: Ipv4Addr) -> PathBuf {
        self.namespaces.join(address.to_string())
    }

    fn record(&self, address: Ipv4Addr) -> PathBuf {
        self.folder.join(format!("{address}.json"))
    }

    fn refill(&self) {
        let _making = self.making.lock();
        loop {
            let enough = self.state.lock().ready.len() >= self.options.ready;
            if enough || self.closed.load(Ordering::Acquire) {
                break;
            }
            match self.make_namespace() {
                Ok(address) => self.state.lock().ready.push_back(address),
                Err(error) => {
                    tracing::warn!(%error, "cannot make a namespace ahead of need");
                    break;
                }
            }
        }
        self.refilling.store(false, Ordering::Release);
    }

    /// Makes a namespace on the bridge, for whoever comes next.
    fn make_namespace(&self) -> Result<Ipv4Addr, NetworkError> {
        let subnet = self.bridge.subnet;
        let address = {
            let mut state = self.state.lock();
            let free = subnet.next_free(state.last, &state.taken);
            let address =
                free.ok_or_else(|| NetworkError::NoFreeAddress { subnet: subnet.to_string() })?;
            state.taken.insert(address);
            state.last = address;
            address
        };
        let endpoint = self.options.endpoint;
        let to_endpoint = |eth0| links::add_neighbour_route(endpoint, eth0, address);
        self.make_neighbour(address, to_endpoint).inspect_err(|_| {
            self.state.lock().taken.remove(&address);
        })?;
        Ok(address)
    }

    /// Makes a namespace with this address on the bridge; `last` is the last step of its set-up,
    /// given the index of its interface.
    fn make_neighbour(
        &self,
        address: Ipv4Addr,
        last: impl FnOnce(u32) -> Message + Send,
    ) -> Result<(), NetworkError> {
        let subnet = self.bridge.subnet;
        let made = namespaces::make(&self.namespace(address), |namespace| {
            let inside = Socket::open(Family::Route)?;
            let outside = interface(address);
            links::make_pair(
                &self.route.lock(),
                &outside,
                self.bridge_index,
                namespace.as_fd(),
                mac(address),
            )?;
            let eth0 = links::index("eth0")?;
            inside.request(vec![
                links::bring_up(LOOPBACK),
                links::bring_up(eth0),
                links::add_address(eth0, address, subnet.prefix()),
                links::add_default_route(subnet.gateway()),
                last(eth0),
            ])
        });
        made.map_err(io_error(format!("cannot make a network namespace for {address}")))
    }

    fn attach(
        &self,
        container: &ContainerId,
        wanted: &[PortMapping],
    ) -> Result<Attachment, NetworkError> {
        let (ready, ports) = {
            let mut state = self.state.lock();
            if let Some(attachment) = state.attachments.get(container) {
                return Ok(attachment.clone());
            }
            let ports = state.ports.take(wanted)?;
            (state.ready.pop_front(), ports)
        };
        let release = |error| {
            let mut state = self.state.lock();
            for (mapping, port) in wanted.iter().zip(&ports) {
                state.ports.release(mapping.protocol, *port);
            }
            error
        };
        let address = match ready {
            Some(address) => address,
            None => self.make_namespace().map_err(release)?,
        };
        let bindings = wanted.iter().zip(&ports).map(|(mapping, port)| PortBinding {
            bind_ip: Ipv4Addr::UNSPECIFIED,
            container_port: mapping.container_port,
            host_port: *port,
            protocol: mapping.protocol,
        });
        let attachment = Attachment {
            container: container.clone(),
            namespace: self.namespace(address),
            address,
            prefix: self.bridge.subnet.prefix(),
            gateway: self.bridge.subnet.gateway(),
            mac: mac(address),
            bindings: bindings.collect(),
        };
        if let Err(error) = self.publish(&attachment) {
            self.take_down(&attachment);
            return Err(release(error));
        }
        self.state.lock().attachments.insert(container.clone(), attachment.clone());
        Ok(attachment)
    }

    /// The record first: what a crash leaves between the two, the next process publishes.
    fn publish(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        let record = self.record(attachment.address);
        let temporary = record.with_extension("new");
        serde_json::to_vec(attachment)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&temporary, text))
            .and_then(|()| fs::rename(&temporary, &record))
            .map_err(io_error(format!("cannot write {}", record.display())))?;
        let published: Vec<_> = publications(attachment).collect();
        let outcome = self.firewall.lock().publish(&published);
        outcome.map_err(|source| {
            let ports: Vec<_> = published.iter().map(|p| p.host_port.to_string()).collect();
            NetworkError::Io { what: format!("cannot publish ports {}", ports.join(", ")), source }
        })
    }

    fn detach(&self, container: &ContainerId) -> Result<(), NetworkError> {
        let Some(attachment) = self.state.lock().attachments.get(container).cloned() else {
            return Ok(());
        };
        let published: Vec<_> = publications(&attachment).collect();
        if let Err(error) = self.firewall.lock().withdraw(&published)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(io_error("cannot withdraw published ports")(error));
        }
        self.take_down(&attachment);
        let mut state = self.state.lock();
        for binding in &attachment.bindings {
            state.ports.release(binding.protocol, binding.host_port);
        }
        state.attachments.remove(container);
        Ok(())
    }

    /// Removes a namespace, what is in it, its record, and frees its address.
    fn take_down(&self, attachment: &Attachment) {
        let address = attachment.address;
        if remove_namespace(&self.route.lock(), &attachment.namespace, address) {
            let _ = fs::remove_file(self.record(address));
            self.state.lock().taken.remove(&address);
        }
    }

    fn close(&self) -> Result<(), NetworkError> {
        self.closed.store(true, Ordering::Release);
        let _making = self.making.lock();
        let ready = std::mem::take(&mut self.state.lock().ready);
        for address in ready.into_iter().chain([self.endpoints]) {
            remove_namespace(&self.route.lock(), &self.namespace(address), address);
        }
        if self.state.lock().attachments.is_empty() {
            take_down_bridge(&self.route.lock(), &self.folder, &self.bridge.name)?;
        }
        Ok(())
    }
}

fn publications(attachment: &Attachment) -> impl Iterator<Item = Publication> {
    let address = attachment.address;
    attachment.bindings.iter().map(move |binding| Publication {
        protocol: binding.protocol,
        host_port: binding.host_port,
        address,
        port: binding.container_port,
    })
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
        let attachment = blocking(move || inner.attach(&container, &ports)).await;
        self.refill(REFILL_PAUSE);
        attachment
    }

    async fn detach(&self, container: &ContainerId) -> Result<(), NetworkError> {
        let (inner, container) = (Arc::clone(&self.inner), container.clone());
        blocking(move || inner.detach(&container)).await
    }

    async fn listen(&self, address: SocketAddr) -> Result<TcpListener, NetworkError> {
        let fail = move |source| NetworkError::Listen { address, source };
        let namespace = self.inner.namespace(self.inner.endpoints);
        let listener = blocking(move || {
            namespaces::enter(&namespace, || std::net::TcpListener::bind(address))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(fail)
        })
        .await?;
        TcpListener::from_std(listener).map_err(fail)
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
