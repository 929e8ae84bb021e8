//! The registry joined to the rest of the server.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use cloudtrail::Trail;
use ecr::{Challenge, Depot, Ecr, EcrSetup, Scope, Tables};
use ecs::OwnRegistry;
use iam::Iam;
use ledger::Ledger;
use serde::{Deserialize, Serialize};
use terms::IdSource;

use crate::data_dir::{DataDir, Running};
use crate::ensemble::StoreChoice;
use crate::settings::{Auth, ServerSettings};

/// What clients of the registry are asked for that have not logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistryChallenge {
    /// User and password with each request, as ECR does.
    Basic,
    /// A token, which the registry gives for user and password.
    Bearer,
}

impl FromStr for RegistryChallenge {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
    }
}

impl Display for RegistryChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
        })
    }
}

/// The service over its tables. Where several servers share a store, it has no place for bytes yet,
/// and says so to its clients.
///
/// # Errors
/// If the folder for images cannot be used.
pub async fn join(
    tables: Tables,
    ledger: &Ledger,
    (iam, trail): (&Iam, &Trail),
    settings: &ServerSettings,
    data: &DataDir,
    ids: Arc<dyn IdSource>,
) -> Result<Ecr> {
    let depot = match &settings.store.choice {
        StoreChoice::Embedded => {
            let (folder, siblings) = (data.registry(), [data.images().join("blobs")]);
            let open = move || Depot::open(&folder, &siblings);
            Some(tokio::task::spawn_blocking(open).await??)
        }
        StoreChoice::Etcd(_) => None,
    };
    let ServerSettings { account, region, .. } = settings;
    let setup = EcrSetup {
        authenticator: Arc::new(iam.clone()),
        auditor: Some(Arc::new(trail.clone())),
        ids,
        home: Scope { account: account.clone(), region: region.clone() },
        is_open: settings.auth == Auth::Open,
        depot,
        host: settings.registry_host.clone(),
        challenge: match settings.registry_challenge {
            None | Some(RegistryChallenge::Basic) => Challenge::Basic,
            Some(RegistryChallenge::Bearer) => Challenge::Bearer,
        },
    };
    Ok(Ecr::open(tables, ledger.clone(), setup).await?)
}

/// Where agents reach the registry, and what its images are named by besides ECR's names; none where
/// it has no place for bytes.
pub fn beside(settings: &ServerSettings, running: &Running) -> Option<OwnRegistry> {
    if matches!(settings.store.choice, StoreChoice::Etcd(_)) {
        return None;
    }
    let url = settings.agent_endpoint.clone().unwrap_or_else(|| running.endpoint.clone());
    let host = |url: &str| {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        host.trim_end_matches('/').to_owned()
    };
    let mut hosts = vec![host(&url), host(&running.endpoint)];
    hosts.extend(settings.registry_host.clone());
    // What repositoryUri says for the loopback address.
    let local =
        host(&running.endpoint).strip_prefix("127.0.0.1").map(|port| format!("localhost{port}"));
    hosts.extend(local);
    hosts.dedup();
    Some(OwnRegistry { url, hosts })
}
