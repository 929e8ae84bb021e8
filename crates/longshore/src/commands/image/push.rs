//! `longshore image push`, and whom registries know `push` and `pull` as.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use runtime::images::{self, ImageReference, RegistryAuth};

use super::{bar, existing, tell};
use crate::data_dir::DataDir;
use crate::node;
use crate::output::Format;
use crate::registries::{self, RegistryFlags};

#[derive(Args, Debug)]
pub(super) struct Push {
    /// The image's reference here
    reference: ImageReference,
    /// What it is to be called, with its registry [default: as it is here]
    #[arg(long, value_name = "REFERENCE")]
    to: Option<ImageReference>,
    #[command(flatten)]
    registries: RegistryFlags,
    /// The data folder of a server or agent on this machine [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Push {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let data = existing(self.data_dir)?;
        let to = self.to.unwrap_or_else(|| self.reference.clone());
        let auth = credentials(&self.registries, &data, &to)?;
        let authority = data.running().and_then(|running| running.ca);
        let behavior = images::PullBehavior::default();
        let store =
            node::open_images(&data, behavior, &self.registries, authority.as_deref(), None)
                .await?;
        let (here, there) = (&self.reference, &to);
        let pushed = bar::watched(format, |progress| async move {
            store.push(here, there, &auth, &progress).await
        });
        let digest = pushed.await.with_context(|| format!("pushing {to}"))?;
        tell("pushed", (&to, &digest), format)
    }
}

/// Whom the registry of a reference knows us as: whom the file says; the administrator, if it is the
/// server's that runs with the data folder; else nobody.
pub(super) fn credentials(
    flags: &RegistryFlags,
    data: &DataDir,
    reference: &ImageReference,
) -> Result<RegistryAuth> {
    let registry = reference.registry();
    let said = match &flags.registry_auth {
        Some(file) => registries::read(file)?.remove(registry),
        None => None,
    };
    if let Some(auth) = said {
        return Ok(auth);
    }
    let (Some(running), Some(keys)) = (data.running(), data.administrator()) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let is_own = own_names(&running.endpoint, running.account.as_str(), running.region.as_str())
        .iter()
        .any(|name| name == registry);
    Ok(match is_own {
        true => RegistryAuth::At {
            url: running.endpoint,
            username: keys.access_key_id,
            password: keys.secret_access_key,
        },
        false => RegistryAuth::Anonymous,
    })
}

/// What references call the registry of a server: its address, that of the loopback address by its name,
/// and ECR's name for it.
fn own_names(endpoint: &str, account: &str, region: &str) -> Vec<String> {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    let local = host.strip_prefix("127.0.0.1").map(|port| format!("localhost{port}"));
    let of_ecr = format!("{account}.dkr.ecr.{region}.amazonaws.com");
    [host.to_owned(), of_ecr].into_iter().chain(local).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_registry_has_several_names() {
        let names = own_names("http://127.0.0.1:4566", "000000000000", "us-east-1");
        let of_ecr = "000000000000.dkr.ecr.us-east-1.amazonaws.com";
        assert_eq!(names, ["127.0.0.1:4566", of_ecr, "localhost:4566"]);
        assert_eq!(own_names("https://plane.test:1", "1", "r")[0], "plane.test:1");
    }
}
