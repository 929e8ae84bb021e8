//! Where each setting comes from: flag, then environment (`LONGSHORE_…`), then the TOML file.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use ecs::ServiceRules;
use terms::{AccountId, ClusterName, Region};

pub use crate::auth::Auth;
use crate::ensemble::{StoreFlags, StoreSettings};
use crate::housekeeping::{HouseSettings, amazons_variable};
use crate::instances::{INSTANCES_MAX, InstanceFlags, ProviderNames};
use crate::limits::{LimitFlags, LimitSettings};
use crate::names::NameFlags;
use crate::observe::{ObserveFlags, ObserveSettings};
use crate::registry::{OwnRegistryFlags, OwnRegistrySettings};
use crate::retention::Retention;
use crate::security::{SecurityFlags, SecuritySettings};
use crate::service_rules::ServiceFlags;

/// The file that is read when `--config` and `LONGSHORE_CONFIG` name none; it may be absent.
const CONFIG_FILE: &str = "/etc/longshore/longshore.toml";

/// Flags of `longshore up` and `longshore server`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerFlags {
    /// Address and port of the API [default: 127.0.0.1:4566]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Folder for everything that is kept [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Whose requests are accepted: signed with our keys, or any (loopback only) [default: signed]
    #[arg(long, value_name = "MODE")]
    pub auth: Option<Auth>,
    /// The cluster that the instances join [default: default]
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<ClusterName>,
    /// The account that this server is home to [default: 000000000000]
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountId>,
    /// The region that this server is home to [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// What containers get as AWS_ENDPOINT_URL: a URL, or `none` [default: a link-local address]
    #[arg(long, value_name = "URL|none")]
    pub task_endpoint: Option<String>,
    /// The URL that agents reach this server at [default: the address it listens on]
    #[arg(long, value_name = "URL")]
    pub agent_endpoint: Option<String>,
    /// Where agents ask for the right to pull from ECR [default: here, for the tasks' own accounts]
    #[arg(long, value_name = "URL")]
    pub ecr_endpoint: Option<String>,
    /// The registry.
    #[command(flatten)]
    pub registry: OwnRegistryFlags,
    /// How long stopped tasks are shown, an hour at least, as in `90m` or `2d` [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub stopped_task_retention: Option<Retention>,
    #[command(flatten)]
    pub security: SecurityFlags,
    /// A TOML file with any of these settings [default: /etc/longshore/longshore.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the ledger is kept.
    #[command(flatten)]
    pub store: StoreFlags,
    /// How long what happened to tasks and instances is kept [default: 30d]
    #[arg(long, value_name = "TIME")]
    pub history_retention: Option<Retention>,
    /// The program that UpdateContainerAgent replaces agents by [default: this server's own]
    #[arg(long, value_name = "FILE")]
    pub agent_binary: Option<PathBuf>,
    /// Seeing inside.
    #[command(flatten)]
    pub observe: ObserveFlags,
    /// How much is taken at once.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// How services are kept.
    #[command(flatten)]
    pub services: ServiceFlags,
    /// How names are answered.
    #[command(flatten)]
    pub names: NameFlags,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The named environment variable.
    Environment(String),
    /// The named file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment ({name})"),
            Self::File(path) => write!(f, "file ({})", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting as `longshore config show` tells it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The setting's name, as in the TOML file and (with dashes) on the command line.
    pub name: &'static str,
    /// The value in force.
    pub value: String,
    /// Who said so.
    pub source: Source,
}

/// Everything that `up` and `server` are told.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Address and port of the API.
    pub listen: SocketAddr,
    /// Folder for everything that is kept.
    pub data_dir: PathBuf,
    /// Whose requests are accepted.
    pub auth: Auth,
    /// The cluster that `up`'s instances join.
    pub cluster: ClusterName,
    /// Home account.
    pub account: AccountId,
    /// Home region.
    pub region: Region,
    /// `AWS_ENDPOINT_URL` of containers: a URL, `none`, or `None` for the link-local address.
    pub task_endpoint: Option<String>,
    /// What DiscoverPollEndpoint hands out, if not the address the caller used.
    pub agent_endpoint: Option<String>,
    /// Where agents ask for the right to pull from ECR's registries, if not here.
    pub ecr_endpoint: Option<String>,
    /// The registry.
    pub registry: OwnRegistrySettings,
    /// How long stopped tasks are shown.
    pub stopped_task_retention: Retention,
    /// TLS, and secrets at rest.
    pub security: SecuritySettings,
    /// Container instances that `up` makes.
    pub instances: u32,
    /// The capacity providers that they belong to, if any.
    pub capacity_provider: Option<ProviderNames>,
    /// What they say they are, if anything.
    pub instance_type: Option<String>,
    /// CPU units of each; none is a share of the machine.
    pub instance_cpu: Option<u64>,
    /// Memory of each in MiB; none is a share of the machine.
    pub instance_memory: Option<u64>,
    /// How they keep the machine in order.
    pub house: HouseSettings,
    /// Where the ledger is kept.
    pub store: StoreSettings,
    /// How long the history is kept.
    pub history_retention: Retention,
    /// What agents are replaced by; none is this program itself.
    pub agent_binary: Option<PathBuf>,
    /// Seeing inside.
    pub observe: ObserveSettings,
    /// How much is taken at once.
    pub limits: LimitSettings,
    /// How services are kept.
    pub services: ServiceRules,
    /// Where names of load balancers are answered by DNS, if anywhere.
    pub dns: Option<SocketAddr>,
    /// Where each value came from.
    pub origins: Vec<Origin>,
}

impl ServerSettings {
    /// Says after which time without its agent an instance is lost, unless the operator did.
    pub fn lose_instances_after(&mut self, time: Duration) {
        let said = self.origins.iter().find(|origin| origin.name == "lost_after_seconds");
        if said.is_none_or(|origin| origin.source == Source::Default) {
            self.services.lost_after = Some(time);
        }
    }

    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read, the file has an unknown setting, or `--auth open` would be
    /// reachable from other machines.
    pub fn resolve(flags: &ServerFlags, instances: &InstanceFlags) -> Result<Self> {
        let InstanceFlags { instances, capacity_provider, size, house } = instances.clone();
        let mut resolver = Resolver::open(flags.config.as_deref())?;
        let security = SecuritySettings::resolve(&flags.security, &mut resolver)?;
        let settings = Self {
            listen: resolver.value("listen", flags.listen, || ([127, 0, 0, 1], 4566).into())?,
            data_dir: resolver.path("data_dir", flags.data_dir.clone())?,
            auth: resolver.value("auth", flags.auth, || Auth::Signed)?,
            cluster: resolver.value("cluster", flags.cluster.clone(), ClusterName::default)?,
            account: resolver.value("account", flags.account.clone(), home_account)?,
            region: resolver.value("region", flags.region.clone(), home_region)?,
            task_endpoint: resolver.optional("task_endpoint", flags.task_endpoint.clone())?,
            agent_endpoint: resolver.optional("agent_endpoint", flags.agent_endpoint.clone())?,
            ecr_endpoint: resolver.optional("ecr_endpoint", flags.ecr_endpoint.clone())?,
            registry: OwnRegistrySettings::read(&mut resolver, &flags.registry)?,
            stopped_task_retention: resolver.value(
                "stopped_task_retention",
                flags.stopped_task_retention,
                Retention::default,
            )?,
            instances: resolver.value("instances", instances, || 1)?,
            capacity_provider: resolver.optional("capacity_provider", capacity_provider)?,
            instance_type: resolver.optional("instance_type", size.instance_type)?,
            instance_cpu: resolver.optional("instance_cpu", size.instance_cpu)?,
            instance_memory: resolver.optional("instance_memory", size.instance_memory)?,
            house: HouseSettings::read(&mut resolver, &house)?,
            store: StoreSettings::read(&mut resolver, &flags.store, security.folder.as_ref())?,
            security,
            history_retention: resolver.value(
                "history_retention",
                flags.history_retention,
                Retention::of_history,
            )?,
            agent_binary: resolver.file("agent_binary", flags.agent_binary.clone())?,
            observe: ObserveSettings::read(&mut resolver, &flags.observe)?,
            limits: LimitSettings::read(&mut resolver, &flags.limits)?,
            services: flags.services.read(&mut resolver)?,
            dns: flags.names.read(&mut resolver)?,
            origins: Vec::new(),
        };
        let settings = Self { origins: resolver.finish()?, ..settings };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        if self.auth == Auth::Open && !self.listen.ip().is_loopback() {
            bail!(
                "--auth open accepts anybody's requests, so it needs a loopback address; \
                 {} can be reached from other machines. Use --listen 127.0.0.1:{} or leave \
                 --auth open out",
                self.listen.ip(),
                self.listen.port()
            );
        }
        self.security.check(self.listen)?;
        if !(1..=INSTANCES_MAX).contains(&self.instances) {
            bail!(
                "--instances {}: one machine has 1 to {INSTANCES_MAX}; more join with \
                 'longshore agent'",
                self.instances
            );
        }
        Ok(())
    }
}

fn home_account() -> AccountId {
    "000000000000".parse().expect("twelve digits are an account id")
}

fn home_region() -> Region {
    "us-east-1".parse().expect("a constant that is a region")
}

/// The folder that a command works on: flag, environment, file or the default.
///
/// # Errors
/// If the configuration file cannot be read.
pub fn data_dir(flag: Option<PathBuf>) -> Result<PathBuf> {
    Resolver::open(None)?.path("data_dir", flag)
}

/// Reads settings one by one and remembers where each came from.
pub struct Resolver {
    file: PathBuf,
    table: toml::Table,
    origins: Vec<Origin>,
}

impl Resolver {
    /// Reads the named file, or the usual one if it is there.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn open(flag: Option<&Path>) -> Result<Self> {
        let named = flag
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os("LONGSHORE_CONFIG").map(PathBuf::from));
        let file = named.clone().unwrap_or_else(|| CONFIG_FILE.into());
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                String::new()
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let table = text.parse().with_context(|| format!("in {}", file.display()))?;
        Ok(Self { file, table, origins: Vec::new() })
    }

    fn path(&mut self, name: &'static str, flag: Option<PathBuf>) -> Result<PathBuf> {
        let flag = flag.map(|path| path.display().to_string());
        let text = self.value(name, flag, || "/var/lib/longshore".to_owned())?;
        std::path::absolute(&text).with_context(|| format!("{name} = {text}"))
    }

    /// Changes what `config show` tells of a setting: for those that are secret.
    pub fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Origin)) {
        if let Some(origin) = self.origins.iter_mut().find(|origin| origin.name == name) {
            edit(origin);
        }
    }

    /// Where a setting that was read came from.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.origins.iter().find(|origin| origin.name == name).map(|origin| &origin.source)
    }

    /// A setting with a default.
    ///
    /// # Errors
    /// If its value cannot be read.
    pub fn value<T>(
        &mut self,
        name: &'static str,
        flag: Option<T>,
        default: impl FnOnce() -> T,
    ) -> Result<T>
    where
        T: FromStr + Display,
        T::Err: Display,
    {
        let (value, source) = match self.said(name, flag)? {
            Some(said) => said,
            None => (default(), Source::Default),
        };
        self.origins.push(Origin { name, value: value.to_string(), source });
        Ok(value)
    }

    /// A file or folder, as an absolute path, if anybody named one.
    ///
    /// # Errors
    /// As [`Resolver::optional`].
    pub fn file(&mut self, name: &'static str, flag: Option<PathBuf>) -> Result<Option<PathBuf>> {
        let flag = flag.map(|path| path.display().to_string());
        let said: Option<String> = self.optional(name, flag)?;
        let absolute =
            |text: String| std::path::absolute(&text).with_context(|| format!("{name} = {text}"));
        said.map(absolute).transpose()
    }

    /// A setting that may be absent.
    ///
    /// # Errors
    /// If its value cannot be read.
    pub fn optional<T>(&mut self, name: &'static str, flag: Option<T>) -> Result<Option<T>>
    where
        T: FromStr + Display,
        T::Err: Display,
    {
        let said = self.said(name, flag)?;
        let (value, source) = match &said {
            Some((value, source)) => (value.to_string(), source.clone()),
            None => (String::new(), Source::Default),
        };
        self.origins.push(Origin { name, value, source });
        Ok(said.map(|(value, _)| value))
    }

    fn said<T>(&self, name: &str, flag: Option<T>) -> Result<Option<(T, Source)>>
    where
        T: FromStr,
        T::Err: Display,
    {
        if let Some(value) = flag {
            return Ok(Some((value, Source::Flag)));
        }
        let variable = format!("LONGSHORE_{}", name.to_uppercase());
        if let Ok(text) = std::env::var(&variable) {
            let value = text.parse().map_err(|e| anyhow::anyhow!("{variable}={text}: {e}"))?;
            return Ok(Some((value, Source::Environment(variable))));
        }
        if let Some(variable) = amazons_variable(name)
            && let Ok(text) = std::env::var(variable)
        {
            let value = text.parse().map_err(|e| anyhow::anyhow!("{variable}={text}: {e}"))?;
            return Ok(Some((value, Source::Environment(variable.to_owned()))));
        }
        let Some(entry) = self.table.get(name) else { return Ok(None) };
        let text = match entry {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            other => bail!("{}: {name} = {other} is no text or number", self.file.display()),
        };
        let value = text
            .parse()
            .map_err(|e| anyhow::anyhow!("{}: {name} = {text}: {e}", self.file.display()))?;
        Ok(Some((value, Source::File(self.file.clone()))))
    }

    /// Everything that was asked for; a setting in the file that nobody asked for is an error.
    fn finish(self) -> Result<Vec<Origin>> {
        let known = |name: &String| self.origins.iter().any(|origin| origin.name == name);
        if let Some(unknown) = self.table.keys().find(|name| !known(name)) {
            let names: Vec<_> = self.origins.iter().map(|origin| origin.name).collect();
            bail!(
                "{}: no setting '{unknown}'; there are {}",
                self.file.display(),
                names.join(", ")
            );
        }
        Ok(self.origins)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn resolve(text: &str, flags: ServerFlags) -> Result<ServerSettings> {
        let file = file(text);
        let flags = ServerFlags { config: Some(file.path().to_path_buf()), ..flags };
        ServerSettings::resolve(&flags, &InstanceFlags::default())
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let flags = ServerFlags { account: "111111111111".parse().ok(), ..Default::default() };
        let settings = resolve("account = \"222222222222\"\ncluster = \"blue\"", flags).unwrap();
        assert_eq!(settings.account.as_str(), "111111111111");
        assert_eq!(settings.cluster.as_str(), "blue");
        let origin = |name| settings.origins.iter().find(|o| o.name == name).unwrap();
        assert_eq!(origin("account").source, Source::Flag);
        assert!(matches!(origin("cluster").source, Source::File(_)));
        assert_eq!(origin("region").source, Source::Default);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text, expected: &str| {
            let error = resolve(text, ServerFlags::default()).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        };
        check("acount = \"1\"", "no setting 'acount'");
        check("account = \"1\"", "twelve digits");
        check("listen = \"nowhere\"", "listen = nowhere");
        check("auth = [1]", "is no text or number");
        check("auth = \"open\"\nlisten = \"0.0.0.0:4566\"", "loopback");
        check("stopped_task_retention = \"30m\"", "too short");
        check("instances = 0", "--instances 0");
        check("instances = 65", "1 to 64");
        check("instance_cpu = \"much\"", "instance_cpu = much");
    }
}
