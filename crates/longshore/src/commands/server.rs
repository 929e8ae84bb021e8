//! `longshore server`: the control plane alone.

use anyhow::{Context, Result};
use clap::Args;

use crate::control_plane::ControlPlane;
use crate::data_dir::DataDir;
use crate::instances::InstanceFlags;
use crate::observe::ObserveSettings;
use crate::output::{self, Format};
use crate::settings::{ServerFlags, ServerSettings};
use crate::{descriptors, port, signals};

/// Flags of `longshore server`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  longshore server --listen 127.0.0.1:4566\n  longshore token create"
)]
pub struct Server {
    #[command(flatten)]
    flags: ServerFlags,
}

impl Server {
    /// How it is to be seen into.
    ///
    /// # Errors
    /// If a setting cannot be read.
    pub fn observe(&self) -> Result<ObserveSettings> {
        ObserveSettings::resolve(&self.flags.observe, self.flags.config.as_deref())
    }

    /// Serves until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    /// If the port is taken, the data folder cannot be used, or a part fails.
    pub async fn run(self, format: Format) -> Result<()> {
        let settings = ServerSettings {
            instances: 0,
            ..ServerSettings::resolve(&self.flags, &InstanceFlags::default())?
        };
        descriptors::raise().context("raising the limit of open files")?;
        let data = DataDir::create(&settings.data_dir)?;
        let stop = signals::first()?;
        signals::survive_hangups()?;
        let listener = port::listen(settings.listen).await?;
        let mut plane = ControlPlane::start(settings.clone(), data, listener).await?;
        let ServerSettings { account, region, .. } = &settings;
        plane.announce_when_ready(0).await?;
        let text = format_args!(
            "Longshore serves at {}\naccount {account}, region {region}\n\n\
             Container instances join with a token:\n  longshore token create",
            plane.running.endpoint
        );
        output::announce(format, &plane.running, text);
        let outcome = plane.serve(stop).await;
        plane.stop().await?;
        outcome
    }
}
