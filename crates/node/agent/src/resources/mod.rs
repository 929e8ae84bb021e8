//! What a task's containers need from elsewhere before they are made: secrets, files of variables,
//! credentials for registries (ecs-semantics §3.4, logs-events-secrets §3.3, §4.4).
//!
//! All of it is fetched once, when the task is prepared, with the task's execution role; containers
//! that are made after a restart of the agent fetch it again, for none of it is in the journal.
//!
//! **Invariant:** a value is in memory only, from the task's preparation to its end; it is in no
//! `Debug`, error or log line.

mod env_file;
mod reference;
mod registry;
mod role;
mod router;
mod secrets;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use agent_protocol::task::{Container, EcrAuthData, Task};
use parking_lot::Mutex;
use runtime::images::RegistryAuth;
use terms::TaskArn;
use tokio::sync::OnceCell;

use crate::engine::{Creation, Failure};
use crate::logs::firelens;
use crate::transport::Transport;
use crate::view::CredentialStore;

use role::Role;

/// What ECS's agents call a task's failure to get what it needs.
const ERROR: &str = "ResourceInitializationError";
/// `Secret.target` of those for the log driver.
const LOG_DRIVER: &str = "LOG_DRIVER";
/// `RegistryAuthentication.type` of user names in Secrets Manager.
const OF_SECRETS_MANAGER: &str = "asm";
/// `RegistryAuthentication.type` of ECR's own tokens.
const OF_ECR: &str = "ecr";

/// What was fetched for one container.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Variables of files; the definition's own win over them.
    pub from_files: Vec<(String, String)>,
    /// Secrets as variables; they win over all others.
    pub secrets: Vec<(String, String)>,
    /// Secrets as options of the log driver.
    pub log_options: BTreeMap<String, String>,
    /// What a router's configuration includes from S3.
    pub(crate) router_configuration: Option<Vec<u8>>,
    registry: Option<RegistryAuth>,
}

/// How much there is, never what.
impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("from_files", &self.from_files.len())
            .field("secrets", &self.secrets.len())
            .field("log_options", &self.log_options.len())
            .finish_non_exhaustive()
    }
}

/// Whether the image's registry wants credentials that must be fetched first.
pub(crate) fn needs_registry(container: &Container) -> bool {
    let Some(auth) = &container.registry_authentication else { return false };
    // Without an endpoint of the operator's there is nobody to ask: AWS does not know our roles. Then
    // whatever credentials the agent was started with are used.
    let is_somewhere = |ecr: &EcrAuthData| !ecr.endpoint_override.is_empty();
    auth.kind == OF_SECRETS_MANAGER
        || (auth.kind == OF_ECR && auth.ecr_auth_data.as_ref().is_some_and(is_somewhere))
}

/// Whether what the container needs is fetched with the task's execution role. Only the right to pull
/// from ECR can be asked for in the instance's own name.
fn needs_role(container: &Container) -> bool {
    let auth = container.registry_authentication.as_ref();
    let ecr = auth.and_then(|auth| auth.ecr_auth_data.as_ref());
    !container.secrets.is_empty()
        || !container.environment_files.is_empty()
        || firelens::s3_configuration(container).is_some()
        || auth.is_some_and(|auth| auth.kind == OF_SECRETS_MANAGER)
        || ecr.is_some_and(|ecr| ecr.use_execution_role)
}

fn needs_any(container: &Container) -> bool {
    !container.secrets.is_empty()
        || !container.environment_files.is_empty()
        || firelens::s3_configuration(container).is_some()
        || needs_registry(container)
}

/// A task's, one for each container.
type OfTask = Arc<OnceCell<Vec<Fetched>>>;

/// Fetches, and keeps what was fetched until its task is over.
pub(crate) struct Resources {
    transport: Arc<dyn Transport>,
    credentials: Arc<CredentialStore>,
    /// The region that the agent is in.
    region: String,
    kept: Mutex<BTreeMap<TaskArn, OfTask>>,
}

impl Resources {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        credentials: Arc<CredentialStore>,
        region: String,
    ) -> Self {
        Self { transport, credentials, region, kept: Mutex::default() }
    }

    /// Fetches all that the task needs.
    pub(crate) async fn prepare(&self, task: &Task) -> Result<(), Failure> {
        match task.containers.iter().any(needs_any) {
            true => self.whole(task).await.map(drop),
            false => Ok(()),
        }
    }

    /// What one container needs: fetched before, or now.
    pub(crate) async fn of(&self, task: &Task, index: usize) -> Result<Fetched, Failure> {
        if !task.containers.get(index).is_some_and(needs_any) {
            return Ok(Fetched::default());
        }
        let all = self.whole(task).await?;
        Ok(all.get().and_then(|all| all.get(index)).cloned().unwrap_or_default())
    }

    /// The creation with the secret options of the task's log drivers in their places.
    pub(crate) async fn completed<'c>(
        &self,
        creation: &'c Creation,
    ) -> Result<Cow<'c, Creation>, Failure> {
        let task = &creation.task;
        let wanted = |one: &Container| one.secrets.iter().any(|secret| secret.target == LOG_DRIVER);
        if !task.containers.iter().any(wanted) {
            return Ok(Cow::Borrowed(creation));
        }
        let all = self.whole(task).await?;
        let mut task = Task::clone(task);
        let fetched = all.get().map(Vec::as_slice).unwrap_or_default();
        for (container, fetched) in task.containers.iter_mut().zip(fetched) {
            let docker = &mut container.docker_config;
            // Texts that cannot be read are told of where they are used.
            let Ok(mut host) = docker.host_config() else { continue };
            let Some(log) = &mut host.log_config else { continue };
            log.config.extend(fetched.log_options.clone());
            docker.host_config = serde_json::to_string(&host)
                .map_err(|_| Failure::new(ERROR, "the log driver's options cannot be written"))?;
        }
        Ok(Cow::Owned(Creation { task: Arc::new(task), ..creation.clone() }))
    }

    /// The credentials for a container's registry, if its task names some.
    pub(crate) async fn registry(
        &self,
        task: &Task,
        index: usize,
    ) -> Result<Option<RegistryAuth>, Failure> {
        match task.containers.get(index).is_some_and(needs_registry) {
            true => Ok(self.of(task, index).await?.registry),
            false => Ok(None),
        }
    }

    /// Forgets what was fetched for a task.
    pub(crate) fn forget(&self, task: &TaskArn) {
        self.kept.lock().remove(task);
    }

    /// Fetched by whoever comes first; the others wait for it.
    async fn whole(&self, task: &Task) -> Result<OfTask, Failure> {
        let cell = Arc::clone(self.kept.lock().entry(task.arn.clone()).or_default());
        cell.get_or_try_init(|| self.fetch(task)).await?;
        Ok(cell)
    }

    async fn fetch(&self, task: &Task) -> Result<Vec<Fetched>, Failure> {
        let no_secrets = |why: String| {
            Failure::new(ERROR, format!("unable to pull secrets or registry auth: {why}"))
        };
        let role = match task.containers.iter().any(needs_role) {
            true => self.role(task).await.map_err(no_secrets)?,
            false => Role::new(&*self.transport, None),
        };
        let secrets = secrets::fetch(&role, &task.containers).await.map_err(no_secrets)?;
        let mut all = Vec::with_capacity(task.containers.len());
        for container in &task.containers {
            let files = env_file::fetch(&role, &self.region, &container.environment_files).await;
            let from_files = files.map_err(|why| {
                Failure::new(ERROR, format!("failed to download env files: {why}"))
            })?;
            let registry = match needs_registry(container) {
                true => Some(registry::fetch(&role, container).await.map_err(no_secrets)?),
                false => None,
            };
            let router_configuration = router::fetch(&role, &self.region, container).await;
            let router_configuration = router_configuration.map_err(|why| {
                Failure::new(ERROR, format!("unable to generate firelens config file: {why}"))
            })?;
            let mut fetched =
                Fetched { from_files, registry, router_configuration, ..Fetched::default() };
            for secret in &container.secrets {
                let value = secrets.get(secret).map_err(no_secrets)?;
                if secret.target == LOG_DRIVER {
                    fetched.log_options.insert(secret.name.clone(), value);
                } else {
                    fetched.secrets.push((secret.name.clone(), value));
                }
            }
            all.push(fetched);
        }
        Ok(all)
    }

    /// The task's execution role. Its credentials come with the payload; after a restart of the
    /// agent, as soon as it is connected.
    async fn role(&self, task: &Task) -> Result<Role<'_>, String> {
        let id = task.execution_role_credentials.as_ref();
        let id = id.map(|credentials| credentials.credentials_id.as_str());
        let missing = || "unable to find execution role credentials".to_owned();
        let credentials = self.credentials.wait(id.ok_or_else(missing)?).await;
        Ok(Role::new(&*self.transport, Some(credentials.ok_or_else(missing)?)))
    }
}
