//! What tasks find at 169.254.170.2 (agent-protocol §6): credentials and metadata on port 80, the
//! way to Longshore's API on port 4566.
//!
//! One pair of listeners serves the instance, in a network namespace of its own beside the
//! containers': a listener inside a container's namespace would take the port from the container
//! (a server there that binds 0.0.0.0:80 would find it in use). Who asks is told by the id in the
//! path, so that one pair can answer for every agent of this process ([`Directory`]).

mod forward;
mod introspection;
mod limit;
mod metadata;
mod protection;
mod routes;
mod samples;
mod stats;
mod tags;
mod v2;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use agent_protocol::task::Task;
use agent_protocol::{TASK_API_PORT, TASK_ENDPOINT_ADDRESS, TASK_METADATA_PORT};
use parking_lot::RwLock;
use runtime::networks::Listener;
use runtime::{ContainerId, Containers, NetworkError, Networks};
use terms::Clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::TaskState;
use crate::spec::NetworkMode;
use crate::transport::Transport;
use crate::view::{CredentialStore, View, endpoint_id};

pub(crate) use forward::Forwarder;
pub use limit::RequestRate;
pub(crate) use protection::ControlPlane;
pub(crate) use samples::Samples;

use limit::Limiter;

/// Connections that one listener serves at a time; further ones wait.
const CONNECTIONS_MAX: usize = 1024;

/// What the endpoints of one agent answer from.
pub(crate) struct Sources {
    pub(crate) view: Arc<View>,
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) containers: Arc<dyn Containers>,
    pub(crate) networks: Arc<dyn Networks>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cluster: String,
    pub(crate) control_plane: ControlPlane,
    /// The newest samples of what containers use.
    pub(crate) samples: Arc<Samples>,
    pub(crate) zone: RwLock<Option<String>>,
    pub(crate) vpc: RwLock<Option<String>>,
    /// The container instance, once it is registered.
    pub(crate) instance: RwLock<Option<String>>,
}

impl Sources {
    /// Where a task of its is.
    fn place(&self, task: &TaskState) -> metadata::Place {
        metadata::Place {
            held: self.view.held(&task.task.arn),
            cluster: self.cluster.clone(),
            zone: self.zone.read().clone(),
            vpc: self.vpc.read().clone(),
        }
    }
}

/// The agents of this process, so that the one listener in the host's network finds whose
/// container asks.
#[derive(Clone, Default)]
pub struct Directory(Arc<RwLock<Vec<Arc<Sources>>>>);

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl Directory {
    fn add(&self, sources: Arc<Sources>) {
        self.0.write().push(sources);
    }

    fn remove(&self, sources: &Arc<Sources>) {
        self.0.write().retain(|other| !Arc::ptr_eq(other, sources));
    }

    /// The agents, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Sources>> {
        self.0.read().clone()
    }
}

/// The local endpoints of one agent's tasks.
pub(crate) struct Endpoints {
    networks: Arc<dyn Networks>,
    directory: Directory,
    sources: Arc<Sources>,
    /// `None`: tasks do not get to the API from here.
    forwarder: Option<Arc<Forwarder>>,
    limiter: Arc<Limiter>,
    is_open: tokio::sync::Mutex<bool>,
    ended: CancellationToken,
}

impl Endpoints {
    pub(crate) fn new(
        networks: Arc<dyn Networks>,
        directory: Directory,
        sources: Sources,
        forwarder: Option<Forwarder>,
        rate: RequestRate,
    ) -> Self {
        let sources = Arc::new(sources);
        directory.add(Arc::clone(&sources));
        Self {
            networks,
            directory,
            sources,
            forwarder: forwarder.map(Arc::new),
            limiter: Arc::new(Limiter::new(rate)),
            is_open: tokio::sync::Mutex::new(false),
            ended: CancellationToken::new(),
        }
    }

    /// What is known once the instance is registered: which one it is, its zone and its VPC.
    pub(crate) fn registered(&self, arn: &str, zone: Option<String>, vpc: Option<String>) {
        *self.sources.instance.write() = Some(arn.to_owned());
        *self.sources.zone.write() = zone;
        *self.sources.vpc.write() = vpc;
    }

    /// Serves the introspection API until the end; where.
    pub(crate) async fn introspect(&self, at: SocketAddr) -> Option<SocketAddr> {
        introspection::open(at, Arc::clone(&self.sources), self.ended.clone()).await
    }

    /// The variables that tell a container where its endpoints are.
    pub(crate) fn environment(&self, id: &ContainerId, task: &Task) -> Vec<(String, String)> {
        let id = endpoint_id(id);
        let at = |path: &str| format!("http://{TASK_ENDPOINT_ADDRESS}/{path}/{id}");
        let mut variables = vec![
            ("ECS_CONTAINER_METADATA_URI".to_owned(), at("v3")),
            ("ECS_CONTAINER_METADATA_URI_V4".to_owned(), at("v4")),
            ("ECS_AGENT_URI".to_owned(), at("api")),
        ];
        if let Some(role) = &task.role_credentials {
            let path = format!("/v2/credentials/{}", role.credentials_id);
            variables.push(("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".to_owned(), path));
        }
        variables
    }

    /// Opens the listeners, before the first container that can reach them; again is success.
    pub(crate) async fn open(&self, mode: NetworkMode) -> Result<(), NetworkError> {
        match mode {
            NetworkMode::Bridge | NetworkMode::Host | NetworkMode::Awsvpc => self.open_once().await,
            // It is not on the bridge.
            NetworkMode::None => Ok(()),
        }
    }

    async fn open_once(&self) -> Result<(), NetworkError> {
        let mut is_open = self.is_open.lock().await;
        if *is_open {
            return Ok(());
        }
        let at = |port| SocketAddr::from((TASK_ENDPOINT_ADDRESS, port));
        let metadata = self.networks.listen(at(TASK_METADATA_PORT)).await?;
        let (directory, token) = (self.directory.clone(), self.ended.clone());
        let limiter = Arc::clone(&self.limiter);
        serve(metadata, token.clone(), move |peer, request| {
            let (directory, admitted) = (directory.clone(), limiter.admits(peer, Instant::now()));
            async move {
                match admitted {
                    true => routes::answer(directory, peer, request).await,
                    false => routes::too_many(),
                }
            }
        });
        if let Some(forwarder) = &self.forwarder {
            let api = self.networks.listen(at(TASK_API_PORT)).await?;
            let forwarder = Arc::clone(forwarder);
            serve(api, token, move |_, request| forwarder.clone().forward(request));
        }
        *is_open = true;
        Ok(())
    }

    /// Closes everything.
    pub(crate) fn end(&self) {
        self.ended.cancel();
        self.directory.remove(&self.sources);
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) type AnswerBody =
    http_body_util::combinators::BoxBody<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;
pub(crate) type Answer = http::Response<AnswerBody>;
pub(crate) type Request = http::Request<hyper::body::Incoming>;

/// Serves HTTP/1.1 on a listener until the token is cancelled.
fn serve<F, A>(mut listener: Box<dyn Listener>, token: CancellationToken, answer: F)
where
    F: Fn(IpAddr, Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    use hyper_util::rt::{TokioIo, TokioTimer};
    tokio::spawn(async move {
        let permits = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                () = token.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, peer)) = accepted else {
                // Out of descriptors, most likely: others will be closed.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let (answer, token) = (answer.clone(), token.clone());
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(peer.ip(), request);
                    async move { Ok::<_, std::convert::Infallible>(answer.await) }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new())
                    .header_read_timeout(std::time::Duration::from_secs(5));
                let connection = http.serve_connection(TokioIo::new(socket), service);
                tokio::select! {
                    biased;
                    () = token.cancelled() => {}
                    _ = connection => {}
                }
                drop(permit);
            });
        }
    });
}
