//! `longshore up`: the API and container instances on this machine, in one process tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::AtEnd;
use agent::transport::Objects;
use agent::volumes::StandIns;
use anyhow::{Context, Result};
use clap::Args;
use runtime::images::ImageStore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::sigv4::Credentials;
use wire::tls::TlsClient;

use crate::commands::doctor;
use crate::control_plane::ControlPlane;
use crate::data_dir::DataDir;
use crate::fleet::{self, Fleet};
use crate::housekeeping::HouseSettings;
use crate::instances::{self, ChosenNetwork, InstanceFlags};
use crate::node::{self, NodeSettings};
use crate::object_store::ObjectFlags;
use crate::observe::ObserveSettings;
use crate::output::{self, Format};
use crate::registries::RegistryFlags;
use crate::service_rules::LOST_AFTER_HERE;
use crate::settings::{self, ServerFlags, ServerSettings};
use crate::storage::DeviceFlags;
use crate::{pki, port, signals};

/// The name of the node that Fargate tasks run on.
const FLEET_NODE: &str = "fargate-1";

/// Flags of `longshore up`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  longshore up --instances 3 --listen 127.0.0.1:4566 --data-dir /var/lib/longshore"
)]
pub struct Up {
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    instances: InstanceFlags,
    #[command(flatten)]
    registries: RegistryFlags,
    #[command(flatten)]
    objects: ObjectFlags,
    #[command(flatten)]
    devices: DeviceFlags,
    /// Leave the tasks running at the end, as `longshore agent` does: the next start takes them up
    /// again, and `longshore down` ends them
    #[arg(long)]
    keep_tasks: bool,
    /// Leave out the node that Fargate tasks run on
    #[arg(long)]
    no_fargate: bool,
}

impl Up {
    /// How it is to be seen into.
    ///
    /// # Errors
    /// If a setting cannot be read.
    pub fn observe(&self) -> Result<ObserveSettings> {
        ObserveSettings::resolve(&self.server.observe, self.server.config.as_deref())
    }

    /// Runs until Ctrl-C or SIGTERM, then stops the tasks and leaves nothing behind, unless they are
    /// to be kept.
    ///
    /// # Errors
    /// If this machine cannot run containers, the port is taken, or a part fails.
    pub async fn run(self, format: Format) -> Result<()> {
        let mut settings = ServerSettings::resolve(&self.server, &self.instances)?;
        settings.lose_instances_after(LOST_AFTER_HERE);
        doctor::require_containers()?;
        let data = DataDir::create(&settings.data_dir)?;
        let stop = signals::first()?;
        let listener = port::listen(settings.listen).await?;
        let mut plane = ControlPlane::start(settings.clone(), data.clone(), listener).await?;
        let ServerSettings { account, region, cluster, .. } = &settings;
        plane.ecs.ensure_cluster(account, region, cluster).await?;
        let at_end = match self.keep_tasks {
            true => AtEnd::LeaveRunning,
            false => AtEnd::StopAll,
        };
        let objects = self.objects.objects(&data)?;
        let has = Has { registries: self.registries, objects, devices: self.devices };
        let mut nodes = Nodes::start(&settings, &plane, data, has, at_end).await?;
        let ready = async {
            plane.announce_when_ready(settings.instances).await?;
            tell(&settings, &plane, format, at_end);
            Ok(())
        };
        let outcome = tokio::select! {
            biased;
            ended = nodes.first_end() => ended,
            outcome = ready => outcome,
        };
        // Only now: nobody waits for it who wants none of it.
        let outcome = match outcome {
            Ok(()) if !self.no_fargate => nodes.add_fleet(&settings, &plane).await,
            outcome => outcome,
        };
        let outcome = match outcome {
            Ok(()) => {
                // An instance that fails while others run is told by its own words, below.
                let ended = async {
                    tokio::select! { () = stop => {}, _ = nodes.first_failure() => {} }
                };
                plane.serve(ended).await
            }
            failed => failed,
        };
        let ended = nodes.end().await;
        plane.stop().await?;
        outcome.and(ended)
    }
}

/// What the instances of this machine are given.
struct Has {
    registries: RegistryFlags,
    objects: Objects,
    devices: DeviceFlags,
}

/// What the instances of this process have in common.
struct Own {
    data: DataDir,
    images: Arc<ImageStore>,
    has: Has,
    at_end: AtEnd,
}

/// The instances of this process.
struct Nodes {
    running: JoinSet<Result<()>>,
    end: CancellationToken,
    failure: Option<anyhow::Error>,
    own: Own,
    _host: Option<ChosenNetwork>,
}

impl Nodes {
    /// Starts all instances. One alone is in the host's network, several have their own each.
    async fn start(
        settings: &ServerSettings,
        plane: &ControlPlane,
        data: DataDir,
        has: Has,
        at_end: AtEnd,
    ) -> Result<Self> {
        warn_of_others(settings, &data);
        let host = (settings.instances == 1).then(ChosenNetwork::host);
        let authority = plane.running.ca.as_deref();
        let behavior = settings.house.pull_behavior;
        let images = node::open_images(&data, behavior, &has.registries, authority, None).await?;
        let mut nodes = Self {
            running: JoinSet::new(),
            end: CancellationToken::new(),
            failure: None,
            own: Own { data: data.clone(), images: Arc::clone(&images), has, at_end },
            _host: host,
        };
        let Own { has, .. } = &nodes.own;
        let mut all = Vec::new();
        for number in 0..settings.instances {
            let instance = node_settings(settings, plane, number, &nodes.end).await?;
            all.push(NodeSettings {
                registry_auth: has.registries.registry_auth.clone(),
                stand_ins: has.devices.of_the_only_one(data.path())?,
                gpus: has.devices.gpus(number, settings.instances),
                objects: has.objects.clone(),
                at_end,
                ..instance
            });
        }
        // Only now: one that has begun is to be ended in order.
        for instance in all {
            let (data, images, end) = (data.clone(), Arc::clone(&images), nodes.end.clone());
            nodes.running.spawn(node::run(instance, data, images, end));
        }
        Ok(nodes)
    }

    /// Starts the node that Fargate tasks run on, in a network of its own.
    async fn add_fleet(&mut self, settings: &ServerSettings, plane: &ControlPlane) -> Result<()> {
        let Own { data, images, has, at_end } = &self.own;
        let node = node_settings(settings, plane, 0, &self.end).await?;
        let name = FLEET_NODE.to_owned();
        let key = plane.iam.node_key(&name).await?;
        let (access_key_id, secret) = (key.access_key_id, key.secret);
        let mut house = node.house.clone();
        house.house.introspection = None;
        let node = NodeSettings {
            credentials: Credentials { access_key_id, secret, session_token: None },
            tls: tls(plane, &name, &self.end)?,
            name,
            cluster: Fleet::cluster(),
            attributes: Fleet::Fargate.attributes().into_iter().collect(),
            capacity: fleet::roomy(instances::capacity(
                1,
                settings.instance_cpu,
                settings.instance_memory,
            )?),
            registry_auth: has.registries.registry_auth.clone(),
            objects: has.objects.clone(),
            stand_ins: has.devices.of_the_only_one(data.path())?,
            at_end: *at_end,
            own_network: true,
            ready_namespaces: 1,
            house,
            ..node
        };
        let (data, images) = (data.clone(), Arc::clone(images));
        self.running.spawn(node::run(node, data, images, self.end.clone()));
        Ok(())
    }

    /// Waits for an instance to end, which none does by itself unless something is wrong.
    async fn first_end(&mut self) -> Result<()> {
        match self.running.join_next().await {
            Some(ended) => ended.context("a container instance panicked")?,
            None => Ok(()),
        }
    }

    /// Waits for an instance to end, and keeps what it says.
    async fn first_failure(&mut self) {
        self.failure = self.first_end().await.err();
    }

    /// Ends them all; the first failure of any.
    async fn end(mut self) -> Result<()> {
        self.end.cancel();
        while !self.running.is_empty() {
            if let Err(error) = self.first_end().await {
                self.failure.get_or_insert(error);
            }
        }
        self.failure.map_or(Ok(()), Err)
    }
}

/// Instances of an earlier start that was killed and had more of them: their containers go on.
fn warn_of_others(settings: &ServerSettings, data: &DataDir) {
    let number = |name: &String| name.strip_prefix("instance-")?.parse::<u32>().ok();
    let is_left = |name: &String| {
        let containers = std::fs::read_dir(data.node(name).join("containers"));
        number(name).is_some_and(|number| number > settings.instances)
            && containers.is_ok_and(|mut entries| entries.next().is_some())
    };
    for name in data.nodes().into_iter().filter(is_left) {
        tracing::warn!(
            instance = name,
            "containers of an earlier start are on an instance that is not started now; start \
             with as many --instances as then, or clear them with 'longshore down' after the end"
        );
    }
}

/// What an instance trusts and shows: never the server's own certificate, for tasks' calls go out
/// under it too.
fn tls(plane: &ControlPlane, name: &str, end: &CancellationToken) -> Result<Option<TlsClient>> {
    let Some(tls) = &plane.tls else { return Ok(None) };
    let client = match tls.server.authority_pem() {
        Some(pem) => TlsClient::with_authorities("the authority", &pem)?,
        None => TlsClient::system(),
    };
    if let Some(authority) = &tls.authority {
        pki::issue_while(&client, authority, name, end.clone())?;
    }
    Ok(Some(client))
}

async fn node_settings(
    settings: &ServerSettings,
    plane: &ControlPlane,
    number: u32,
    end: &CancellationToken,
) -> Result<NodeSettings> {
    let name = format!("instance-{}", number + 1);
    let key = plane.iam.node_key(&name).await?;
    let credentials =
        Credentials { access_key_id: key.access_key_id, secret: key.secret, session_token: None };
    let count = settings.instances;
    let provider = settings.capacity_provider.as_ref().and_then(|names| names.of(number));
    let tls = tls(plane, &name, end)?;
    Ok(NodeSettings {
        server: plane.running.endpoint.clone(),
        tls,
        credentials,
        cluster: settings.cluster.clone(),
        name,
        zone: instances::zone(&settings.region, number),
        instance_type: settings.instance_type.clone(),
        attributes: BTreeMap::from_iter(instances::provider_attribute(provider)),
        account: settings.account.clone(),
        region: settings.region.clone(),
        registry_auth: None,
        objects: Objects::None,
        stand_ins: StandIns::default(),
        gpus: Vec::new(),
        forwards_api: settings.task_endpoint.as_deref() != Some("none"),
        at_end: AtEnd::StopAll,
        capacity: instances::capacity(count, settings.instance_cpu, settings.instance_memory)?,
        installation: plane.installation.clone(),
        own_network: count > 1,
        ready_namespaces: instances::ready_namespaces(count),
        house: house(settings, number),
        updater: None,
        joins_anew: true,
        peers: None,
    })
}

/// Of several instances the first has the introspection API: its port is one for the machine.
fn house(settings: &ServerSettings, number: u32) -> HouseSettings {
    let mut house = settings.house.clone();
    house.house.introspection = house.house.introspection.filter(|_| number == 0);
    house
}

/// Says that everything is there, and how to point clients at it.
fn tell(settings: &ServerSettings, plane: &ControlPlane, format: Format, at_end: AtEnd) {
    let ServerSettings { account, region, cluster, instances, .. } = settings;
    let end = match at_end {
        AtEnd::StopAll => "Ctrl-C stops the tasks and ends it.",
        AtEnd::LeaveRunning => "Ctrl-C ends it; the tasks go on.",
    };
    let them = if *instances == 1 { "instance" } else { "instances" };
    let endpoint = &plane.running.endpoint;
    let how = how_to_call(settings, endpoint);
    let text = format_args!(
        "Longshore is up at {endpoint}\n\
         account {account}, region {region}, cluster {cluster} with {instances} {them}\n\n\
         {how}\n\n{end}"
    );
    output::announce(format, &plane.running, text);
}

/// How clients sign: with the administrator's key, if there is one still.
fn how_to_call(settings: &ServerSettings, endpoint: &str) -> String {
    let (region, folder) = (&settings.region, settings.data_dir.display());
    if !DataDir::at(settings.data_dir.clone()).credentials().exists() {
        return format!(
            "The administrator has no key: call it at {endpoint} with your own, or make a new one \
             with\n  longshore recover --data-dir {folder}"
        );
    }
    // Where commands look by themselves.
    let usual = settings::data_dir(None).is_ok_and(|usual| usual == settings.data_dir);
    let at = if usual { String::new() } else { format!(" --data-dir {folder}") };
    format!(
        "Point clients at it, as the administrator:\n  \
         longshore profile{at} && export AWS_PROFILE=longshore\n\
         or, for this shell alone:\n  \
         export AWS_ENDPOINT_URL={endpoint} AWS_REGION={region} AWS_DEFAULT_REGION={region} \
         AWS_PROFILE=longshore AWS_SHARED_CREDENTIALS_FILE={folder}/credentials\n\
         or with credentials that end by themselves:\n  \
         longshore login{at} && export AWS_PROFILE=longshore-session"
    )
}
