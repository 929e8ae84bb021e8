//! `longshore balancer`: load balancers on a host of their own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use dns::Zones;
use http::Uri;
use serde_json::json;
use terms::{Clock, IdSource};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::client::Client;

use crate::access_logs::access_logs;
use crate::clock::{RandomIds, SystemClock};
use crate::connection::Connection;
use crate::data_dir::DataDir;
use crate::names::NameFlags;
use crate::observe::metrics::Metrics;
use crate::observe::{ObserveFlags, ObserveSettings, figures};
use crate::output::{self, Format};
use crate::serving::{Serving, Setup};
use crate::{descriptors, instances, names, settings, signals};

/// How long a server may take to answer, or to begin to.
const ANSWER: Duration = Duration::from_secs(10);

/// Flags of `longshore balancer`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  longshore balancer --endpoint https://10.0.0.1:4566 --profile balancer --address 10.0.0.7\n  longshore balancer --load-balancers web,api --dns 127.0.0.1:5353"
)]
pub struct Balancer {
    #[command(flatten)]
    connection: Connection,
    /// This balancer's name [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// The address that all load balancers listen on [default: each on its own, of 127.64.0.0/10]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Serve these load balancers alone, by their names or ARNs, with commas between [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    load_balancers: Vec<String>,
    #[command(flatten)]
    names: NameFlags,
    #[command(flatten)]
    observe: ObserveFlags,
}

impl Balancer {
    /// How it is to be seen into.
    ///
    /// # Errors
    /// If a setting cannot be read.
    pub fn observe(&self) -> Result<ObserveSettings> {
        ObserveSettings::resolve(&self.observe, None)
    }

    /// Serves until Ctrl-C or SIGTERM, whether a server is reached or not.
    ///
    /// # Errors
    /// If there are no keys, a server would be called beyond this machine without TLS, another process
    /// uses the name's folder, or an address cannot be had.
    pub async fn run(self, format: Format) -> Result<()> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => nix::unistd::gethostname()?.to_string_lossy().into_owned(),
        };
        check_name(&name)?;
        descriptors::raise().context("raising the limit of open files")?;
        let data = DataDir::create(&settings::data_dir(self.connection.data_dir.clone())?)?;
        let stop = signals::first()?;
        signals::survive_hangups()?;
        let client = self.connection.client()?.with_timeout(ANSWER);
        check_servers(&client)?;
        let folder = data.balancer(&name);
        DataDir::create(&folder)?;
        let _held = instances::hold(&folder)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (logs, writer) = access_logs(data.objects(), clock.clone(), &RandomIds);
        let balancer = balancer::Balancer::beside_others(clock.clone(), logs);
        let (zones, end) = (Zones::default(), CancellationToken::new());
        let mut parts = JoinSet::new();
        let dns = names::answer(self.names.dns, zones.clone(), (&mut parts, &end)).await?;
        let metrics = match self.observe()?.metrics_listen {
            Some(address) => {
                let metrics =
                    Metrics::new("balancer", vec![figures::of_balancer(&name, &balancer)]);
                Some(metrics.listen(address, end.clone()).await?)
            }
            None => None,
        };
        let endpoint = client.servers().all().collect::<Vec<_>>().join(",");
        let serving = Serving::begin(Setup {
            client,
            balancer,
            zones,
            clock,
            name: name.clone(),
            start: terms::Uuid::from_random(RandomIds.next()).to_string(),
            address: self.address,
            serves: self.load_balancers,
            file: folder.join("told.json"),
        });
        let told = json!({"name": name, "server": endpoint, "dns": dns, "metrics": metrics});
        let text = format_args!("Longshore balancer '{name}' serves what {endpoint} tells");
        output::announce(format, &told, text);
        let logging = tokio::spawn(writer.run(end.clone()));
        let stopping = CancellationToken::new();
        let on_stop = stopping.clone();
        tokio::spawn(async move {
            stop.await;
            on_stop.cancel();
        });
        serving.run(stopping).await;
        end.cancel();
        while parts.join_next().await.is_some() {}
        logging.await.context("what was to be written down is lost")
    }
}

/// Refuses a name that a server would.
fn check_name(name: &str) -> Result<()> {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_fine = (1..=64).contains(&name.len()) && name.bytes().all(is_one);
    if !is_fine || name.starts_with('.') {
        bail!(
            "--name '{name}': a balancer's name has 1 to 64 letters, digits, dots, hyphens and \
             underscores, and does not begin with a dot"
        );
    }
    Ok(())
}

/// Refuses servers from which keys of certificates would come in the clear.
fn check_servers(client: &Client) -> Result<()> {
    for server in client.servers().all() {
        let uri: Uri = server.parse().with_context(|| format!("--endpoint {server}"))?;
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_near = bare == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if uri.scheme_str() != Some("https") && !is_near {
            bail!(
                "--endpoint {server}: keys of certificates come from there, so it needs https:// \
                 unless it is on this machine"
            );
        }
    }
    Ok(())
}
