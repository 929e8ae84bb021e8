//! Networks of awsvpc tasks: one namespace for all containers of a task, with the interface that the
//! control plane gave it, and a second way to the instance's own endpoints.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bridge::io_error;
use super::leftovers::remove_namespace;
use super::linux::Inner;
use super::netlink::{Family, Socket};
use super::vpc::{Holder, Seat, Vpc};
use super::{Interface, NetworkError, TaskNetwork, links, namespaces, place};

/// The task's interface to the instance's endpoints, called as by Amazon's agent.
const TO_ENDPOINTS: &str = "ecs-eth0";

fn seat(interface: &Interface) -> Seat {
    let Interface { address, prefix, gateway, mac, .. } = *interface;
    Seat { address, prefix, gateway, mac }
}

fn record(folder: &Path, task: &str) -> PathBuf {
    folder.join(format!("task-{task}.json"))
}

/// The task networks on disk whose namespaces still are.
pub(super) fn recall(folder: &Path) -> Vec<TaskNetwork> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("task-") || !name.ends_with(".json") {
            continue;
        }
        let text = fs::read(entry.path()).unwrap_or_default();
        let Ok(network) = serde_json::from_slice::<TaskNetwork>(&text) else { continue };
        match namespaces::is_namespace(&network.namespace) {
            true => found.push(network),
            // The host has been down: nothing of it is left but this.
            false => drop(fs::remove_file(entry.path())),
        }
    }
    found
}

impl Inner {
    /// The VPC, opened by the first who needs it.
    pub(super) fn vpc(&self) -> Result<Arc<Vpc>, NetworkError> {
        let mut vpc = self.vpc.lock();
        if let Some(vpc) = &*vpc {
            return Ok(Arc::clone(vpc));
        }
        let joined = Arc::new(self.place.join(&self.folder)?);
        *vpc = Some(Arc::clone(&joined));
        Ok(joined)
    }

    pub(super) fn attach_task(
        &self,
        task: &str,
        interface: &Interface,
    ) -> Result<TaskNetwork, NetworkError> {
        let ready = {
            let mut state = self.state.lock();
            if let Some(network) = state.tasks.get(task) {
                return Ok(network.clone());
            }
            state.ready.pop_front()
        };
        let vpc = self.vpc()?;
        let holder = Holder::task(&self.folder, task);
        vpc.claim(interface.address, &holder)?;
        let attached = self.seat_task(&vpc, task, interface, ready);
        match attached {
            Ok(network) => {
                self.state.lock().tasks.insert(task.to_owned(), network.clone());
                Ok(network)
            }
            Err(error) => {
                vpc.disconnect(interface.address, &holder)?;
                Err(error)
            }
        }
    }

    /// Turns a namespace that was ready for a container into that of a task.
    fn seat_task(
        &self,
        vpc: &Vpc,
        task: &str,
        interface: &Interface,
        ready: Option<Ipv4Addr>,
    ) -> Result<TaskNetwork, NetworkError> {
        let local = ready.map_or_else(|| self.make_namespace(), Ok)?;
        let namespace = self.namespace(local);
        let (prefix, endpoint) = (self.bridge.subnet.prefix(), self.options.endpoint);
        let set_up = || {
            let file = fs::File::open(&namespace)?;
            namespaces::enter(&namespace, || {
                let inside = Socket::open(Family::Route)?;
                let index = links::index("eth0")?;
                let [down, rename] = links::take_down_and_rename(index, TO_ENDPOINTS);
                inside.request(vec![
                    down,
                    rename,
                    links::remove_address(index, local, prefix),
                    links::add_address(index, local, u32::BITS as u8),
                    links::bring_up(index),
                    links::add_neighbour_route(endpoint, index, local),
                ])?;
                vpc.connect(&seat(interface), file.as_fd())?;
                place::set_up(&seat(interface))
            })
        };
        let network = TaskNetwork {
            task: task.to_owned(),
            namespace: namespace.clone(),
            interface: interface.clone(),
            local,
        };
        let made = set_up().and_then(|()| {
            let text = serde_json::to_vec(&network)?;
            let file = record(&self.folder, task);
            let draft = file.with_extension("new");
            fs::write(&draft, text).and_then(|()| fs::rename(&draft, file))
        });
        made.map_err(|error| {
            self.forget_namespace(local);
            io_error(format!("cannot give the task its interface {}", interface.id))(error)
        })?;
        Ok(network)
    }

    pub(super) fn detach_task(&self, task: &str) -> Result<(), NetworkError> {
        let Some(network) = self.state.lock().tasks.get(task).cloned() else { return Ok(()) };
        let holder = Holder::task(&self.folder, task);
        self.vpc()?.disconnect(network.interface.address, &holder)?;
        if !remove_namespace(&self.route.lock(), &network.namespace, network.local) {
            return Ok(());
        }
        match fs::remove_file(record(&self.folder, task)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("cannot remove the record of a task's network")(error));
            }
            _ => {}
        }
        let mut state = self.state.lock();
        state.taken.remove(&network.local);
        state.tasks.remove(task);
        Ok(())
    }

    /// Gives back addresses that a crash left without a namespace.
    pub(super) fn forget_lost_claims(&self) -> Result<(), NetworkError> {
        let kept: Vec<Ipv4Addr> = {
            let state = self.state.lock();
            let tasks = state.tasks.values().map(|network| network.interface.address);
            tasks.chain(self.place.own).collect()
        };
        if let Some(vpc) = &*self.vpc.lock() {
            vpc.release_all_but(&self.folder, &kept)?;
        }
        Ok(())
    }
}
