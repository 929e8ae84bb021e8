//! What tasks find at 169.254.170.2 in their own network (agent-protocol §6): credentials and
//! metadata on port 80, the way to Longshore's API on port 4566.
//!
//! Every container has listeners of its own in its namespace; containers in the host's network
//! share one pair. Who asks is told by the id in the path, so that one listener can answer for
//! every agent of this process ([`Directory`]).

mod forward;
mod metadata;
mod routes;
mod stats;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use agent_protocol::task::Task;
use agent_protocol::{TASK_API_PORT, TASK_ENDPOINT_ADDRESS, TASK_METADATA_PORT};
use parking_lot::{Mutex, RwLock};
use runtime::{Attachment, ContainerId, Containers, NetworkError, Networks};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::spec::NetworkMode;
use crate::view::{CredentialStore, View, endpoint_id};

pub(crate) use forward::Forwarder;
pub(crate) use stats::docker_stats;

/// Connections that one listener serves at a time; further ones wait.
const CONNECTIONS_MAX: usize = 64;

/// What the endpoints of one agent answer from.
pub(crate) struct Sources {
    pub(crate) view: Arc<View>,
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) containers: Arc<dyn Containers>,
    pub(crate) cluster: String,
    pub(crate) zone: RwLock<Option<String>>,
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
    open: Mutex<BTreeMap<ContainerId, CancellationToken>>,
    host: tokio::sync::Mutex<bool>,
    ended: CancellationToken,
}

impl Endpoints {
    pub(crate) fn new(
        networks: Arc<dyn Networks>,
        directory: Directory,
        sources: Sources,
        forwarder: Option<Forwarder>,
    ) -> Self {
        let sources = Arc::new(sources);
        directory.add(Arc::clone(&sources));
        Self {
            networks,
            directory,
            sources,
            forwarder: forwarder.map(Arc::new),
            open: Mutex::default(),
            host: tokio::sync::Mutex::new(false),
            ended: CancellationToken::new(),
        }
    }

    /// The availability zone, known once the instance is registered.
    pub(crate) fn set_zone(&self, zone: Option<String>) {
        *self.sources.zone.write() = zone;
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

    /// Opens the listeners of a container; again is success.
    pub(crate) async fn open(
        &self,
        id: &ContainerId,
        mode: NetworkMode,
        attachment: Option<&Attachment>,
    ) -> Result<(), NetworkError> {
        match (mode, attachment) {
            (NetworkMode::Host, _) => self.open_host().await,
            (NetworkMode::Bridge, Some(attachment)) => {
                if self.open.lock().contains_key(id) {
                    return Ok(());
                }
                let token = self.ended.child_token();
                self.listen(Some(&attachment.namespace), &token).await?;
                if let Some(older) = self.open.lock().insert(id.clone(), token) {
                    older.cancel();
                }
                Ok(())
            }
            (NetworkMode::Bridge | NetworkMode::None | NetworkMode::Awsvpc, _) => Ok(()),
        }
    }

    /// Closes the listeners of a container.
    pub(crate) fn close(&self, id: &ContainerId) {
        if let Some(token) = self.open.lock().remove(id) {
            token.cancel();
        }
    }

    /// The pair for containers in the host's network; stays until the agent ends.
    async fn open_host(&self) -> Result<(), NetworkError> {
        let mut is_open = self.host.lock().await;
        if *is_open {
            return Ok(());
        }
        match self.listen(None, &self.ended).await {
            Ok(()) => {}
            // Another agent of this host answers there already; within this process it answers
            // for ours too.
            Err(NetworkError::Listen { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
        *is_open = true;
        Ok(())
    }

    async fn listen(
        &self,
        namespace: Option<&Path>,
        token: &CancellationToken,
    ) -> Result<(), NetworkError> {
        let at = |port| SocketAddr::from((TASK_ENDPOINT_ADDRESS, port));
        let metadata = self.networks.listen(namespace, at(TASK_METADATA_PORT)).await?;
        let directory = self.directory.clone();
        serve(metadata, token.clone(), move |request| routes::answer(directory.clone(), request));
        if let Some(forwarder) = &self.forwarder {
            let api = self.networks.listen(namespace, at(TASK_API_PORT)).await?;
            let forwarder = Arc::clone(forwarder);
            serve(api, token.clone(), move |request| forwarder.clone().forward(request));
        }
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
fn serve<F, A>(listener: TcpListener, token: CancellationToken, answer: F)
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
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
            let Ok((socket, _)) = accepted else {
                // Out of descriptors, most likely: others will be closed.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let (answer, token) = (answer.clone(), token.clone());
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(request);
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
