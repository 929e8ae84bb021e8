//! `longshore agent`: this machine as a container instance of a server elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::transport::Objects;
use agent::volumes::StandIns;
use anyhow::{Context, Result, bail};
use clap::Args;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use serde_json::json;
use terms::{AccountId, CapacityProviderName, Clock, ClusterName, Region};
use tokio_util::sync::CancellationToken;
use wire::client::Client;
use wire::sigv4::Credentials;
use wire::tls::{PinnedAuthority, TlsClient, TlsPeers};

use crate::clock::SystemClock;
use crate::commands::doctor;
use crate::data_dir::{self, DataDir};
use crate::fleet::Fleet;
use crate::housekeeping::{HouseFlags, HouseSettings};
use crate::instances::{self, Attribute, ChosenNetwork, NetworkChoice, SizeFlags};
use crate::node::{self, NodeSettings};
use crate::object_store::ObjectFlags;
use crate::observe::metrics::Metrics;
use crate::observe::{ObserveFlags, ObserveSettings};
use crate::output::{self, Format};
use crate::peers::PeerFlags;
use crate::pki::{self, NodeFiles};
use crate::registries::RegistryFlags;
use crate::storage::DeviceFlags;
use crate::updating::{self, Updater};
use crate::{settings, signals};

/// Flags of `longshore agent`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  longshore agent --server http://10.0.0.1:4566 --token TOKEN --zone us-east-1b\n  longshore agent --server http://10.0.0.1:4566 --token TOKEN --fleet fargate"
)]
pub struct Agent {
    /// The URLs of the control plane's servers, with commas between; one suffices if it is a name
    /// that leads to all of them
    #[arg(long, value_name = "URL,…", env = "LONGSHORE_SERVER")]
    server: String,
    /// The token to join with; not needed once this machine has joined
    #[arg(long, env = "LONGSHORE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The authority that the server's certificate must be of (PEM) [default: the one that the
    /// token names, or that this machine joined with, else this machine's]
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CA")]
    ca: Option<PathBuf>,
    /// Folder for everything that is kept [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The cluster to join
    #[arg(long, default_value = "default", value_name = "NAME")]
    cluster: ClusterName,
    /// Make this machine a node that Fargate tasks run on, and an instance of no cluster
    #[arg(long, value_enum, value_name = "FLEET", conflicts_with_all = ["cluster", "capacity_provider"])]
    fleet: Option<Fleet>,
    /// This instance's name [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// The availability zone [default: the region's zone a]
    #[arg(long)]
    zone: Option<String>,
    /// Which network the instance is in
    #[arg(long, value_enum, default_value_t = NetworkChoice::Auto, value_name = "NETWORK")]
    network: NetworkChoice,
    #[command(flatten)]
    size: SizeFlags,
    /// The capacity provider that this instance belongs to
    #[arg(long, value_name = "NAME")]
    capacity_provider: Option<CapacityProviderName>,
    /// A custom attribute; may be given several times
    #[arg(long = "attribute", value_name = "KEY=VALUE")]
    attributes: Vec<Attribute>,
    #[command(flatten)]
    registries: RegistryFlags,
    #[command(flatten)]
    peers: PeerFlags,
    /// What containers get as AWS_ENDPOINT_URL is the server's setting; `none` turns the
    /// link-local address off on this machine
    #[arg(long, value_name = "none")]
    task_endpoint: Option<String>,
    #[command(flatten)]
    house: HouseFlags,
    #[command(flatten)]
    objects: ObjectFlags,
    #[command(flatten)]
    devices: DeviceFlags,
    #[command(flatten)]
    observe: ObserveFlags,
}

/// This machine's own key, as the server gave it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joined {
    access_key_id: String,
    secret_access_key: String,
    account: AccountId,
    region: Region,
    installation: String,
}

impl Agent {
    /// How it is to be seen into.
    ///
    /// # Errors
    /// If a setting cannot be read.
    pub fn observe(&self) -> Result<ObserveSettings> {
        ObserveSettings::resolve(&self.observe, None)
    }

    /// Joins if need be, then runs until Ctrl-C or SIGTERM. Its containers go on after that.
    ///
    /// # Errors
    /// If the server does not take the token or the instance, or this machine cannot run
    /// containers.
    pub async fn run(mut self, format: Format) -> Result<()> {
        if self.fleet.is_some() {
            self.cluster = Fleet::cluster();
        }
        doctor::require_containers()?;
        let data = DataDir::create(&settings::data_dir(self.data_dir.clone())?)?;
        let stop = signals::first()?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => nix::unistd::gethostname()?.to_string_lossy().into_owned(),
        };
        let own = updating::resume(&data.node(&name), &data.programs())?;
        let joined = self.joined(&data.node(&name), &name).await?;
        let files = NodeFiles::at(&data.node(&name));
        let tls = self.trust(&files)?;
        let end = CancellationToken::new();
        if let Some(tls) = &tls {
            files.show(tls, SystemClock.now())?;
            if files.certificate().is_some() {
                let client = self.client(Some(joined.credentials()), tls)?;
                tokio::spawn(pki::renew_while(files, client, tls.clone(), end.clone()));
            }
        }
        let on_stop = end.clone();
        tokio::spawn(async move {
            stop.await;
            on_stop.cancel();
        });
        if let Some(address) = self.observe()?.metrics_listen {
            Metrics::new("agent", Vec::new()).listen(address, end.clone()).await?;
        }
        let (cluster, server) = (&self.cluster, &self.server);
        let told = json!({"name": name, "cluster": cluster, "server": server});
        let serves = if self.fleet.is_some() { "Fargate tasks" } else { cluster.as_str() };
        let text = format_args!("Longshore agent '{name}' serves {serves} at {server}");
        output::announce(format, &told, text);
        let network = ChosenNetwork::of(self.network, &self.server);
        let house = HouseSettings::resolve(&self.house)?;
        let updater = self.updater(&data, &name, own, (&joined, tls.as_ref()), end.clone())?;
        let authority =
            self.ca.clone().or_else(|| NodeFiles::at(&data.node(&name)).authority_file());
        let authority = authority.filter(|_| tls.is_some());
        let (behavior, registries) = (house.pull_behavior, &self.registries);
        let peers =
            self.peers.open(&name, self.peer_tls(&data.node(&name), tls.as_ref())?, &self.server);
        let peers = peers.await?;
        let images =
            node::open_images(&data, behavior, registries, authority.as_deref(), peers.clone())
                .await?;
        let objects = self.objects.objects(&data)?;
        let stand_ins = self.devices.of_one_of_many(data.path())?;
        let (trust, place) = ((tls, stand_ins), (&network, objects));
        let settings = self.settings(name, joined, trust, place, (house, updater.clone()))?;
        let settings = NodeSettings { peers, ..settings };
        let journal = node::journal(&data, &settings.name);
        let lived = node::run(settings, data, images, end).await;
        if lived.is_ok() {
            updater.become_next()?;
        }
        lived.map_err(|error| match node::was_deregistered(&error) {
            true => error.context(format!(
                "this container instance was deregistered; to join as a new one, remove \
                 {} and start the agent again (it then removes the old one's containers)",
                journal.display()
            )),
            false => error,
        })
    }

    fn updater(
        &self,
        data: &DataDir,
        name: &str,
        own: String,
        (joined, tls): (&Joined, Option<&TlsClient>),
        end: CancellationToken,
    ) -> Result<Arc<Updater>> {
        let credentials = Some(joined.credentials());
        let client = match tls {
            Some(tls) => self.client(credentials, tls)?,
            None => {
                Client::new(&self.server, credentials, self.any_region()?, Arc::new(SystemClock))
            }
        };
        Ok(Arc::new(Updater::new(&data.node(name), &data.programs(), own, client, end)))
    }

    fn settings(
        self,
        name: String,
        joined: Joined,
        (tls, stand_ins): (Option<TlsClient>, StandIns),
        (network, objects): (&ChosenNetwork, Objects),
        (house, updater): (HouseSettings, Arc<Updater>),
    ) -> Result<NodeSettings> {
        let SizeFlags { instance_type, instance_cpu, instance_memory } = self.size;
        let provider = instances::provider_attribute(self.capacity_provider.as_ref());
        let attributes = self.attributes.into_iter().map(|a| (a.name, a.value)).chain(provider);
        let fleet = self.fleet.map(Fleet::attributes).unwrap_or_default();
        Ok(NodeSettings {
            server: self.server,
            tls,
            credentials: joined.credentials(),
            cluster: self.cluster,
            name,
            zone: self.zone.unwrap_or_else(|| format!("{}a", joined.region)),
            instance_type,
            attributes: attributes.chain(fleet).collect(),
            account: joined.account,
            region: joined.region,
            registry_auth: self.registries.registry_auth,
            objects,
            forwards_api: self.task_endpoint.as_deref() != Some("none"),
            at_end: agent::AtEnd::LeaveRunning,
            capacity: instances::capacity(1, instance_cpu, instance_memory)?,
            stand_ins,
            gpus: self.devices.gpus(0, 1),
            installation: joined.installation,
            own_network: network.own,
            ready_namespaces: instances::ready_namespaces(1),
            house,
            updater: Some(updater),
            joins_anew: false,
            peers: None,
        })
    }

    /// The key that this machine joined with, or a fresh one for the token; with it come the
    /// authority to trust and a certificate, if the server has them.
    async fn joined(&self, folder: &Path, name: &str) -> Result<Joined> {
        let (file, files) = (folder.join("key.json"), NodeFiles::at(folder));
        if let Ok(text) = std::fs::read(&file) {
            return serde_json::from_slice(&text).with_context(|| format!("in {}", file.display()));
        }
        let Some(token) = &self.token else {
            bail!(
                "this machine has not joined {} yet: make a token there with 'longshore token \
                 create' and give it with --token",
                self.server
            )
        };
        let (tls, pinned) = self.first_trust(token)?;
        let (key, request) = pki::signing_request()?;
        let input = json!({"token": token, "name": name, "certificateRequest": request});
        let client = match &tls {
            Some(tls) => self.client(None, tls)?,
            None => Client::new(&self.server, None, self.any_region()?, Arc::new(SystemClock)),
        };
        let answer = client.post("/_longshore/join", &input).await?;
        let joined: Joined = serde_json::from_value(answer.clone())?;
        DataDir::create(folder)?;
        let authority = match (&self.ca, pinned) {
            (Some(ca), _) => Some(String::from_utf8(read_authority(ca)?)?),
            (None, Some(pinned)) => pinned.pem(),
            (None, None) => None,
        };
        if let Some(pem) = authority {
            files.keep_authority(&pem)?;
        }
        if let Some(certificate) = answer["certificate"].as_str() {
            files.keep(certificate, &key)?;
        }
        data_dir::write_private(&file, &serde_json::to_string(&joined)?)?;
        Ok(joined)
    }

    fn client(&self, credentials: Option<Credentials>, tls: &TlsClient) -> Result<Client> {
        let region = self.any_region()?;
        let client = Client::new(&self.server, credentials, region, Arc::new(SystemClock));
        Ok(client.with_tls(tls.clone()))
    }

    /// Joining is signed for no region; renewing is for all alike.
    fn any_region(&self) -> Result<Region> {
        Ok("us-east-1".parse()?)
    }

    /// Whom to trust once this machine has joined.
    fn trust(&self, files: &NodeFiles) -> Result<Option<TlsClient>> {
        if !self.server.starts_with("https://") {
            return Ok(None);
        }
        let pem = match &self.ca {
            Some(ca) => Some(read_authority(ca)?),
            None => files.authority(),
        };
        Ok(Some(match pem {
            Some(pem) => TlsClient::with_authorities("the authority", &pem)?,
            None => TlsClient::system(),
        }))
    }

    /// How this node speaks with others, if it has a certificate to show them.
    fn peer_tls(&self, folder: &Path, tls: Option<&TlsClient>) -> Result<Option<TlsPeers>> {
        let files = NodeFiles::at(folder);
        let authority = match &self.ca {
            Some(ca) => Some(read_authority(ca)?),
            None => files.authority(),
        };
        match (tls, authority, files.certificate()) {
            (Some(tls), Some(pem), Some(_)) => Ok(Some(tls.peers("the authority", &pem)?)),
            _ => Ok(None),
        }
    }

    /// Whom to trust with the token: who `--ca` says, or whom the token itself names.
    fn first_trust(&self, token: &str) -> Result<(Option<TlsClient>, Option<PinnedAuthority>)> {
        let pin = token.split_once('.').map(|(_, pin)| pin);
        match (self.server.starts_with("https://"), &self.ca, pin) {
            (false, None, None) => Ok((None, None)),
            (false, _, _) => bail!(
                "the token is for a server with TLS, and {} is without: give --server \
                 https://HOST:PORT",
                self.server
            ),
            (true, Some(ca), _) => {
                let pem = read_authority(ca)?;
                Ok((Some(TlsClient::with_authorities("the authority", &pem)?), None))
            }
            (true, None, Some(pin)) => {
                let hash = HEXLOWER_PERMISSIVE.decode(pin.as_bytes()).ok();
                let hash = hash.and_then(|hash| hash.try_into().ok());
                let hash = hash.context("the token is not whole: copy it once more")?;
                let (tls, pinned) = TlsClient::pinned(hash);
                Ok((Some(tls), Some(pinned)))
            }
            (true, None, None) => Ok((Some(TlsClient::system()), None)),
        }
    }
}

impl Joined {
    fn credentials(&self) -> Credentials {
        Credentials {
            access_key_id: self.access_key_id.clone(),
            secret: wire::Secret::new(self.secret_access_key.as_str()),
            session_token: None,
        }
    }
}

fn read_authority(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}
