//! Layers from node to node: this node hands its layers to others, and asks the control plane which
//! nodes have what it lacks.
//!
//! - `desk`: what is said on the node channel, and who waits for an answer.
//! - `way`: a layer that is fetched, from a peer or from the registry.
//! - `hand`: the listener that hands layers out; `pace` bounds what it sends.
//!
//! **Invariants:** nothing is handed out without a ticket that the control plane wrote for this
//! node, this layer and whoever shows it; over TLS that is whose certificate the connection has. No
//! pull waits for the control plane for ever: without an answer the registry is asked.

mod desk;
mod hand;
mod pace;
mod way;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use agent_protocol::layers::{HeldLayer, LayerWanted, PeerServing};
use agent_protocol::node::{AgentMessage, ServerMessage};
use async_trait::async_trait;
use parking_lot::Mutex;
use peering::TicketKey;
use runtime::images::{Peers, Sought, Way};
use runtime::{ImageReference, Images};
use terms::{Clock, TaskArn};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::tls::TlsPeers;

use desk::Desk;
use pace::Pace;
use way::Route;

/// What a node that takes part is told.
pub struct PeerSettings {
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// The address that others are told, if it listens on all.
    pub address: Option<IpAddr>,
    /// The name that it joined by.
    pub name: String,
    /// 32 random bytes, fresh for each start: tickets for this node are written with them.
    pub key: [u8; 32],
    /// TLS with the other nodes; none: it speaks without.
    pub tls: Option<TlsPeers>,
    /// What it sends at most, over all that fetch from it.
    pub bytes_per_second: u64,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// This node among those that hand layers to each other. Cheap to clone.
#[derive(Clone)]
pub struct Exchange(Arc<Inner>);

pub(crate) struct Inner {
    listener: Mutex<Option<TcpListener>>,
    url: String,
    name: String,
    key: TicketKey,
    tls: Option<TlsPeers>,
    pace: Pace,
    clock: Arc<dyn Clock>,
    desk: Desk,
    images: OnceLock<Arc<dyn Images>>,
    /// For which tasks images are pulled.
    seekers: Mutex<BTreeMap<ImageReference, Vec<TaskArn>>>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({} at {})", self.0.name, self.0.url)
    }
}

impl Exchange {
    /// Listens; nothing is handed out before [`Exchange::serve`].
    ///
    /// # Errors
    /// If the address cannot be listened at, or is all of them and there is none to tell others.
    pub async fn open(settings: PeerSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let mut at = listener.local_addr()?;
        if at.ip().is_unspecified() {
            let nowhere = || io::Error::other("this node has no address that others could be told");
            at.set_ip(settings.address.ok_or_else(nowhere)?);
        }
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        Ok(Self(Arc::new(Inner {
            listener: Mutex::new(Some(listener)),
            url: format!("{scheme}://{at}"),
            name: settings.name,
            key: TicketKey::new(settings.key),
            tls: settings.tls,
            pace: Pace::new(settings.bytes_per_second),
            clock: settings.clock,
            desk: Desk::default(),
            images: OnceLock::new(),
            seekers: Mutex::default(),
        })))
    }

    /// Where it hands layers out.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Hands the layers of these images out, until `end`. Once only.
    pub async fn serve(self, images: Arc<dyn Images>, end: CancellationToken) {
        _ = self.0.images.set(images);
        let Some(listener) = self.0.listener.lock().take() else { return };
        tracing::info!(at = self.0.url, "layers are handed to other nodes");
        hand::serve(&self.0, listener, &end).await;
    }

    /// A node channel stands: says who this is.
    pub fn opened(&self) {
        let (url, name) = (self.0.url.clone(), self.0.name.clone());
        self.0.desk.opened(PeerServing { url, name, key: self.0.key.to_text() }.into());
    }

    /// The node channel has ended.
    pub fn closed(&self) {
        self.0.desk.closed();
    }

    /// The next message that is to go out on the node channel. Loses none when dropped.
    pub async fn outgoing(&self) -> AgentMessage {
        self.0.desk.outgoing().await
    }

    /// What the server says of layers; other messages are none of its business.
    pub fn heard(&self, message: ServerMessage) {
        match message {
            ServerMessage::PeersKnown(_) => {
                self.0.desk.known();
                let this = self.clone();
                tokio::spawn(async move { this.tell_all().await });
            }
            ServerMessage::LayerFrom(from) => self.0.desk.answered(from),
            ServerMessage::Heartbeat(_)
            | ServerMessage::OpenLogs(_)
            | ServerMessage::OpenExec(_) => {}
        }
    }

    /// An image is pulled for a task, as long as what comes back lives.
    #[must_use]
    pub fn seeking(&self, reference: &ImageReference, task: &TaskArn) -> Seeking {
        let mut seekers = self.0.seekers.lock();
        seekers.entry(reference.clone()).or_default().push(task.clone());
        Seeking { inner: Arc::clone(&self.0), reference: reference.clone(), task: task.clone() }
    }

    /// Says which layers are here.
    async fn tell_all(&self) {
        let Some(images) = self.0.images.get() else { return };
        let images = match images.list().await {
            Ok(images) => images,
            Err(error) => return tracing::warn!(%error, "what layers are here cannot be told"),
        };
        let layers = images.iter().flat_map(|image| {
            let repository = repository(&image.reference);
            let held = move |digest: String| HeldLayer { repository: repository.clone(), digest };
            image.layers.iter().map(move |layer| held(layer.digest.to_string()))
        });
        self.0.desk.held(layers.collect());
    }
}

/// An image that is pulled for a task.
pub struct Seeking {
    inner: Arc<Inner>,
    reference: ImageReference,
    task: TaskArn,
}

impl Drop for Seeking {
    fn drop(&mut self) {
        let mut seekers = self.inner.seekers.lock();
        let Some(tasks) = seekers.get_mut(&self.reference) else { return };
        if let Some(at) = tasks.iter().position(|task| *task == self.task) {
            tasks.swap_remove(at);
        }
        if tasks.is_empty() {
            seekers.remove(&self.reference);
        }
    }
}

/// The repository of an image, as [`peering::repository_of`] has it.
fn repository(reference: &ImageReference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

#[async_trait]
impl Peers for Exchange {
    async fn seek(&self, sought: &Sought<'_>) -> Box<dyn Way> {
        let digest = sought.digest.to_string();
        let layer = HeldLayer { repository: repository(sought.reference), digest };
        let task = self.0.seekers.lock().get(sought.reference).and_then(|all| all.first().cloned());
        let peer = match task {
            Some(task_arn) => {
                let wanted = LayerWanted {
                    request_id: 0,
                    layer: layer.clone(),
                    task_arn,
                    size_bytes: sought.size_bytes,
                    avoid: sought.avoid.to_vec(),
                };
                self.0.desk.ask(wanted).await
            }
            // Nobody's task: the control plane would name nobody.
            None => None,
        };
        Box::new(Route::new(Arc::clone(&self.0), layer, sought.size_bytes, peer))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_called_as_the_control_plane_calls_them() {
        for image in [
            "nginx",
            "team/app:1",
            "localhost:4566/app",
            "000000000000.dkr.ecr.us-east-1.amazonaws.com/a/b:v1",
            "index.docker.io/library/nginx",
            "Registry.test:5000/app",
        ] {
            let reference: ImageReference = image.parse().unwrap();
            assert_eq!(repository(&reference), peering::repository_of(image), "{image}");
        }
    }
}
