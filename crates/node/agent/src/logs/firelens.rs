//! FireLens: one container of a task, the router, runs fluentd or fluent-bit and gets the output of
//! those whose driver is `awsfirelens`, on a socket that only they and we have.
//!
//! Its configuration is what Amazon's agent generates
//! (`aws/amazon-ecs-agent:agent/taskresource/firelens`).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use agent_protocol::task::{Container, Task};
use runtime::containers::{Mount, MountSource};

use crate::engine::Creation;

/// Where routers listen, besides their socket.
pub const PORT: u16 = 24224;
/// Where routers answer health checks.
const HEALTH_PORT: u16 = 8877;
const HEALTH_TAG: &str = "firelens-healthcheck";
/// The socket in the router.
const SOCKET_FOLDER: &str = "/var/run";
/// The socket's name.
pub const SOCKET: &str = "fluent.sock";
/// The folder of the socket and the name of the configuration, in a task's folder.
pub const SOCKETS: &str = "socket";
const CONFIGURATION: &str = "fluent.conf";
const EXTERNAL: &str = "external.conf";

/// What a router runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// fluent-bit.
    Fluentbit,
    /// fluentd.
    Fluentd,
}

impl Router {
    /// Where its image looks for its configuration.
    fn configuration(self) -> &'static str {
        match self {
            Self::Fluentbit => "/fluent-bit/etc/fluent-bit.conf",
            Self::Fluentd => "/fluentd/etc/fluent.conf",
        }
    }

    /// Where a configuration from S3 is put, as Amazon's agent does.
    fn external(self) -> &'static str {
        match self {
            Self::Fluentbit => "/fluent-bit/etc/external.conf",
            Self::Fluentd => "/fluentd/etc/external.conf",
        }
    }

    fn include(self, path: &str) -> String {
        match self {
            Self::Fluentbit => format!("\n@INCLUDE {path}\n"),
            Self::Fluentd => format!("\n@include {path}\n"),
        }
    }
}

/// Whether a container's output goes to the task's router.
pub fn is_routed(container: &Container) -> bool {
    let config = container.docker_config.host_config().ok().and_then(|host| host.log_config);
    config.is_some_and(|config| config.kind == "awsfirelens")
}

/// What a container is as a router; none if it is no router.
pub fn router(container: &Container) -> Option<Router> {
    match container.firelens_configuration.as_ref()?.get("type")?.as_str()? {
        "fluentbit" => Some(Router::Fluentbit),
        "fluentd" => Some(Router::Fluentd),
        _ => None,
    }
}

fn option<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    container.firelens_configuration.as_ref()?.get("options")?.get(name)?.as_str()
}

/// The object of S3 that a router's configuration includes, by its ARN.
pub fn s3_configuration(container: &Container) -> Option<&str> {
    option(container, "config-file-type").filter(|kind| *kind == "s3")?;
    option(container, "config-file-value")
}

/// The task's router.
pub fn router_of(task: &Task) -> Option<&Container> {
    task.containers.iter().find(|container| router(container).is_some())
}

/// The tag of a container's lines.
pub fn tag(container: &str, task: &Task) -> String {
    format!("{container}-firelens-{}", task.arn.id)
}

/// Where a container whose output is routed finds the router, to log by itself too.
pub(crate) fn environment(creation: &Creation) -> Vec<(String, String)> {
    let task = &creation.task;
    let container = &task.containers[creation.container.index];
    let Some(router) = router_of(task).filter(|_| is_routed(container)) else { return Vec::new() };
    let host = match task.network_mode.as_deref() {
        Some("awsvpc") => Some("127.0.0.1".to_owned()),
        Some("host" | "none") => None,
        _ => {
            let sibling = creation.siblings.iter().find(|sibling| sibling.name == router.name);
            sibling.and_then(|sibling| sibling.address).map(|address| address.to_string())
        }
    };
    let Some(host) = host else { return Vec::new() };
    vec![("FLUENT_HOST".to_owned(), host), ("FLUENT_PORT".to_owned(), PORT.to_string())]
}

/// What is mounted in a router: its configuration, the one that it includes from S3, and the folder
/// of its socket.
pub fn mounts(router: Router, folder: &Path, has_external: bool) -> Vec<Mount> {
    let bind = |name: &str, target: &str, read_only: bool| Mount {
        source: MountSource::Bind(folder.join(name)),
        target: target.into(),
        read_only,
    };
    let own = bind(CONFIGURATION, router.configuration(), true);
    let external = has_external.then(|| bind(EXTERNAL, router.external(), true));
    [own, bind(SOCKETS, SOCKET_FOLDER, false)].into_iter().chain(external).collect()
}

/// Writes what a router needs into its task's folder; `external` is its configuration from S3.
///
/// # Errors
/// As the file system does, and if the configuration cannot be made.
pub async fn write(
    task: &Task,
    container: &Container,
    cluster: &str,
    folder: &Path,
    external: Option<&[u8]>,
) -> std::io::Result<()> {
    let text = configuration(task, container, cluster).map_err(std::io::Error::other)?;
    let sockets = folder.join(SOCKETS);
    tokio::fs::create_dir_all(&sockets).await?;
    // A router that is not root makes its socket here; on the host, nobody else gets this far.
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    tokio::fs::set_permissions(&sockets, all).await?;
    put(folder, CONFIGURATION, text.as_bytes()).await?;
    match external {
        Some(external) => put(folder, EXTERNAL, external).await,
        None => Ok(()),
    }
}

async fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join(format!("{name}.new"));
    tokio::fs::write(&temporary, bytes).await?;
    tokio::fs::rename(temporary, folder.join(name)).await
}

/// A router's configuration.
///
/// # Errors
/// If an option cannot be written into it.
pub fn configuration(task: &Task, container: &Container, cluster: &str) -> Result<String, String> {
    let kind = router(container).ok_or("it is no router")?;
    let option = |name: &str| option(container, name);
    let mut text = inputs(kind, task);
    let routed: Vec<&Container> = task.containers.iter().filter(|one| is_routed(one)).collect();
    for one in &routed {
        for (name, value) in log_options(one) {
            if name.contains(char::is_control) || value.contains(char::is_control) {
                return Err(format!("option '{name}' of container '{}' has a line end", one.name));
            }
            let pattern = match name.as_str() {
                "include-pattern" => (true, value),
                "exclude-pattern" => (false, value),
                _ => continue,
            };
            text.push_str(&filter(kind, &matched(kind, &one.name), pattern.0, &pattern.1));
        }
    }
    if option("enable-ecs-log-metadata") != Some("false") {
        let definition = format!("{}:{}", task.family, task.version);
        let fields = [
            ("ecs_cluster", cluster.to_owned()),
            ("ecs_task_arn", task.arn.to_string()),
            ("ecs_task_definition", definition),
        ];
        text.push_str(&record(kind, &fields));
    }
    match (option("config-file-type"), option("config-file-value")) {
        (Some("file"), Some(path)) => text.push_str(&kind.include(path)),
        (Some("s3"), Some(_)) => text.push_str(&kind.include(kind.external())),
        _ => {}
    }
    let nothing = BTreeMap::new();
    text.push_str(&output(kind, "null", HEALTH_TAG, &nothing));
    for one in routed {
        let mut options = log_options(one);
        let plugin = options.remove(match kind {
            Router::Fluentbit => "Name",
            Router::Fluentd => "@type",
        });
        // Without a plugin the outputs stand in a file of the definition's own.
        let Some(plugin) = plugin else { continue };
        options.retain(|name, _| !OURS.contains(&name.as_str()));
        text.push_str(&output(kind, &plugin, &matched(kind, &one.name), &options));
    }
    Ok(text)
}

/// Options of `awsfirelens` that are none of the plugin's.
const OURS: [&str; 3] = ["include-pattern", "exclude-pattern", "log-driver-buffer-limit"];

fn log_options(container: &Container) -> BTreeMap<String, String> {
    let config = container.docker_config.host_config().ok().and_then(|host| host.log_config);
    config.map(|config| config.config).unwrap_or_default()
}

/// What matches the tags of a container's lines.
fn matched(kind: Router, container: &str) -> String {
    match kind {
        Router::Fluentbit => format!("{container}-firelens*"),
        Router::Fluentd => format!("{container}-firelens**"),
    }
}

/// The socket, the port for those that log by themselves, and the health check's.
fn inputs(kind: Router, task: &Task) -> String {
    let listen = match task.network_mode.as_deref() {
        Some("awsvpc") => Some("127.0.0.1"),
        Some("host" | "none") => None,
        _ => Some("0.0.0.0"),
    };
    let mut text = String::new();
    match kind {
        Router::Fluentbit => {
            text.push_str("[INPUT]\n    Name forward\n    unix_path /var/run/fluent.sock\n");
            if let Some(listen) = listen {
                _ = write!(
                    text,
                    "\n[INPUT]\n    Name forward\n    Listen {listen}\n    Port {PORT}\n"
                );
            }
            _ = write!(
                text,
                "\n[INPUT]\n    Name tcp\n    Tag {HEALTH_TAG}\n    Listen 127.0.0.1\n    \
                 Port {HEALTH_PORT}\n"
            );
        }
        Router::Fluentd => {
            text.push_str("<source>\n    @type unix\n    path /var/run/fluent.sock\n</source>\n");
            if let Some(listen) = listen {
                _ = write!(
                    text,
                    "\n<source>\n    @type forward\n    bind {listen}\n    port {PORT}\n</source>\n"
                );
            }
            _ = write!(
                text,
                "\n<source>\n    @type tcp\n    bind 127.0.0.1\n    port {HEALTH_PORT}\n    \
                 tag {HEALTH_TAG}\n    <parse>\n        @type none\n    </parse>\n</source>\n"
            );
        }
    }
    text
}

fn filter(kind: Router, matched: &str, include: bool, pattern: &str) -> String {
    match kind {
        Router::Fluentbit => {
            let word = if include { "Regex" } else { "Exclude" };
            format!("\n[FILTER]\n    Name grep\n    Match {matched}\n    {word} log {pattern}\n")
        }
        Router::Fluentd => {
            let word = if include { "regexp" } else { "exclude" };
            format!(
                "\n<filter {matched}>\n    @type grep\n    <{word}>\n        key log\n        \
                 pattern {pattern}\n    </{word}>\n</filter>\n"
            )
        }
    }
}

fn record(kind: Router, fields: &[(&str, String)]) -> String {
    let mut text = match kind {
        Router::Fluentbit => "\n[FILTER]\n    Name record_modifier\n    Match *\n".to_owned(),
        Router::Fluentd => "\n<filter **>\n    @type record_transformer\n    <record>\n".to_owned(),
    };
    for (name, value) in fields {
        _ = match kind {
            Router::Fluentbit => writeln!(text, "    Record {name} {value}"),
            Router::Fluentd => writeln!(text, "        {name} {value}"),
        };
    }
    if kind == Router::Fluentd {
        text.push_str("    </record>\n</filter>\n");
    }
    text
}

fn output(kind: Router, plugin: &str, matched: &str, options: &BTreeMap<String, String>) -> String {
    let mut text = match kind {
        Router::Fluentbit => format!("\n[OUTPUT]\n    Name {plugin}\n    Match {matched}\n"),
        Router::Fluentd => format!("\n<match {matched}>\n    @type {plugin}\n"),
    };
    for (name, value) in options {
        _ = writeln!(text, "    {name} {value}");
    }
    if kind == Router::Fluentd {
        text.push_str("</match>\n");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use agent_protocol::task::DependencyCondition;
    use serde_json::json;

    use super::*;
    use crate::engine::dependencies;

    fn task(kind: &str, mode: &str) -> Task {
        let logs = json!({"LogConfig": {"Type": "awsfirelens", "Config": {
            "@type": "stdout", "include-pattern": "^a", "log-driver-buffer-limit": "9",
            "buffer": "1",
        }}});
        serde_json::from_value(json!({
            "arn": "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001",
            "desiredStatus": "RUNNING", "family": "f", "version": "3", "networkMode": mode,
            "containers": [
                {"name": "app", "dockerConfig": {"hostConfig": logs.to_string()}},
                {"name": "router", "firelensConfiguration": {"type": kind, "options": {
                    "enable-ecs-log-metadata": "true",
                    "config-file-type": "file", "config-file-value": "/extra.conf",
                }}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_routers_configuration() {
        let task = task("fluentd", "awsvpc");
        let text = configuration(&task, &task.containers[1], "c").unwrap();
        let expected = "<source>\n    @type unix\n    path /var/run/fluent.sock\n</source>\n\n\
            <source>\n    @type forward\n    bind 127.0.0.1\n    port 24224\n</source>\n";
        assert!(text.starts_with(expected), "{text}");
        let expected = "\n@include /extra.conf\n\n<match firelens-healthcheck>\n    @type null\n\
            </match>\n\n<match app-firelens**>\n    @type stdout\n    buffer 1\n</match>\n";
        assert!(text.ends_with(expected), "{text}");
        for part in [
            "<filter app-firelens**>\n    @type grep\n    <regexp>\n        key log\n        pattern ^a\n",
            "        ecs_cluster c\n",
            "        ecs_task_definition f:3\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(configuration(&task, &task.containers[0], "c").is_err());
    }

    #[test]
    fn containers_wait_for_their_router() {
        let task = task("fluentbit", "bridge");
        let waits = dependencies(&task, &task.containers[0]);
        assert_eq!(waits, [("router".to_owned(), DependencyCondition::Start)]);
        assert_eq!(dependencies(&task, &task.containers[1]), []);
    }
}
