//! `longshore up`: the API and a container instance on this machine, in one process tree.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tokio_util::sync::CancellationToken;
use wire::sigv4::Credentials;

use crate::commands::doctor;
use crate::control_plane::ControlPlane;
use crate::data_dir::DataDir;
use crate::node::{self, NodeSettings};
use crate::output::{self, Format};
use crate::settings::{ServerFlags, ServerSettings};
use crate::{port, signals};

/// Flags of `longshore up`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  longshore up --listen 127.0.0.1:4566 --data-dir /var/lib/longshore"
)]
pub struct Up {
    #[command(flatten)]
    server: ServerFlags,
    /// Container instances on this machine [default: 1]
    #[arg(long, value_name = "N")]
    instances: Option<u32>,
    /// Credentials for registries, in the form of Docker's config.json
    #[arg(long, value_name = "FILE")]
    registry_auth: Option<PathBuf>,
}

impl Up {
    /// Runs until Ctrl-C or SIGTERM, then stops the tasks and leaves nothing behind.
    ///
    /// # Errors
    /// If this machine cannot run containers, the port is taken, or a part fails.
    pub async fn run(self, format: Format) -> Result<()> {
        let settings = ServerSettings::resolve(&self.server, self.instances)?;
        doctor::require_containers()?;
        let data = DataDir::create(&settings.data_dir)?;
        let stop = signals::first()?;
        let listener = port::listen(settings.listen).await?;
        let mut plane = ControlPlane::start(settings.clone(), data.clone(), listener).await?;
        let ServerSettings { account, region, cluster, .. } = &settings;
        plane.ecs.ensure_cluster(account, region, cluster).await?;
        let instance_end = CancellationToken::new();
        let instance = NodeSettings {
            registry_auth: self.registry_auth,
            ..node_settings(&settings, &plane).await?
        };
        let mut instance = tokio::spawn(node::run(instance, data, instance_end.clone()));
        let ready = async {
            plane.announce_when_ready(settings.instances).await?;
            tell(&settings, &plane, format)
        };
        let outcome = tokio::select! {
            biased;
            ended = &mut instance => return ended.context("the container instance panicked")?,
            outcome = ready => outcome,
        };
        let outcome = match outcome {
            Ok(()) => {
                let ended = async {
                    tokio::select! { () = stop => {}, _ = &mut instance => {} }
                };
                plane.serve(ended).await
            }
            failed => failed,
        };
        if !instance.is_finished() {
            instance_end.cancel();
            instance.await.context("the container instance panicked")??;
        }
        plane.stop().await?;
        outcome
    }
}

async fn node_settings(settings: &ServerSettings, plane: &ControlPlane) -> Result<NodeSettings> {
    let name = "instance-1".to_owned();
    let key = plane.iam.node_key(&name).await?;
    let credentials =
        Credentials { access_key_id: key.access_key_id, secret: key.secret, session_token: None };
    Ok(NodeSettings {
        server: plane.running.endpoint.clone(),
        credentials,
        cluster: settings.cluster.clone(),
        name,
        zone: format!("{}a", settings.region),
        instance_type: None,
        attributes: Default::default(),
        account: settings.account.clone(),
        region: settings.region.clone(),
        registry_auth: None,
        forwards_api: settings.task_endpoint.as_deref() != Some("none"),
        at_end: agent::AtEnd::StopAll,
    })
}

/// Says that everything is there, and how to point clients at it.
fn tell(settings: &ServerSettings, plane: &ControlPlane, format: Format) -> Result<()> {
    if format == Format::Json {
        return Ok(output::json(&plane.running)?);
    }
    let ServerSettings { account, region, cluster, instances, .. } = settings;
    let (endpoint, folder) = (&plane.running.endpoint, settings.data_dir.display());
    println!(
        "Longshore is up at {endpoint}\n\
         account {account}, region {region}, cluster {cluster} with {instances} instance\n\n\
         Point clients at it:\n  \
         longshore profile && export AWS_PROFILE=longshore\n\
         or, for this shell alone:\n  \
         export AWS_ENDPOINT_URL={endpoint} AWS_REGION={region} AWS_PROFILE=longshore \
         AWS_SHARED_CREDENTIALS_FILE={folder}/credentials\n\n\
         Ctrl-C stops the tasks and ends it."
    );
    Ok(())
}
