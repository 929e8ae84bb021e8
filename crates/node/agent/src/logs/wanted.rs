//! What a container's driver was asked for, kept beside its output: whoever starts the agent again
//! goes on without asking anybody.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use agent_protocol::task::{Container, Task};
use runtime::ContainerSpec;
use serde::{Deserialize, Serialize};

use super::firelens;
use super::options::{self, Plan};
use super::tag::Facts;
use crate::folders::Folders;

/// The file's name, beside the output.
const FILE: &str = "driver.json";

/// What a driver was asked for. Its options may hold secrets: it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    driver: String,
    options: BTreeMap<String, String>,
    facts: Facts,
    /// Id of the credentials of the execution role, if the driver is to use them.
    pub(super) credentials: Option<String>,
    /// The router's socket, and the tag there.
    router: Option<(PathBuf, String)>,
}

impl Wanted {
    /// What a container's definition asks for; `routers` is where its task's router has its folder.
    pub(crate) fn of(
        task: &Task,
        container: &Container,
        (spec, image_id): (&ContainerSpec, &str),
        routers: &Path,
    ) -> Self {
        let config = container.docker_config.host_config().ok().and_then(|host| host.log_config);
        let mut config = config.unwrap_or_default();
        if config.kind == "awsfirelens" {
            // All others are its router's, secrets among them.
            config.config.retain(|name, _| name == "log-driver-buffer-limit");
        }
        let by_role = container.logs_auth_strategy.as_deref() == Some("ExecutionRole");
        let role = task.execution_role_credentials.as_ref().filter(|_| by_role);
        let says = |option: &str| config.config.contains_key(option);
        let environment = match says("env") || says("env-regex") {
            true => spec.env.clone(),
            false => Vec::new(),
        };
        let facts = Facts {
            id: spec.id.to_string(),
            name: spec.name.clone(),
            image: container.image.clone(),
            image_id: image_id.to_owned(),
            command: spec.args.join(" "),
            labels: spec.labels.clone(),
            environment,
        };
        let socket = routers.join(firelens::SOCKETS).join(firelens::SOCKET);
        let router =
            (config.kind == "awsfirelens").then(|| (socket, firelens::tag(&container.name, task)));
        Self {
            driver: config.kind,
            options: config.config,
            facts,
            credentials: role.map(|role| role.credentials_id.clone()),
            router,
        }
    }

    /// What is to be done.
    ///
    /// # Errors
    /// As Docker refuses the container.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        match &self.router {
            Some((socket, tag)) => {
                options::firelens(&self.options, tag.clone(), socket.clone(), &self.facts)
            }
            None => options::plan(&self.driver, &self.options, &self.facts),
        }
    }

    /// Puts it beside a container's output.
    pub(crate) async fn write(&self, folders: &dyn Folders, log: &Path) -> io::Result<()> {
        folders.put(&log.with_file_name(FILE), &serde_json::to_string(self)?).await
    }

    /// What was put there; none for a container whose output stays where it is.
    pub(super) async fn read(folders: &dyn Folders, log: &Path) -> Result<Option<Self>, String> {
        let kept = folders.kept(&log.with_file_name(FILE)).await;
        let Some(text) = kept.map_err(|error| error.to_string())? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| error.to_string())
    }
}
