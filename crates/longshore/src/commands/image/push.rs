//! `longshore image push`, and whom registries know `push` and `pull` as.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Error, Result, anyhow};
use clap::Args;
use data_encoding::BASE64;
use runtime::images::{self, ImageReference, RegistryAuth};
use serde_json::json;
use wire::Secret;
use wire::client::Client;
use wire::sigv4::Credentials;
use wire::tls::TlsClient;

use super::{bar, existing, tell};
use crate::clock::SystemClock;
use crate::data_dir::{DataDir, Keys, Running};
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
        let auth = credentials(&self.registries, &data, &to).await?;
        let authority = data.running().and_then(|running| running.ca);
        let behavior = images::PullBehavior::default();
        let store =
            node::open_images(&data, behavior, &self.registries, authority.as_deref(), None)
                .await?;
        let (here, there, who) = (&self.reference, &to, &auth);
        let pushed = bar::watched(format, |progress| async move {
            store.push(here, there, who, &progress).await
        });
        let digest = pushed.await.map_err(|error| {
            let is_denied = error.is_denied();
            or_log_in(anyhow::Error::new(error).context(format!("pushing {to}")), is_denied, &auth)
        })?;
        tell("pushed", (&to, &digest), format)
    }
}

/// Whom the registry of a reference knows us as: whom the file says; the administrator, if it is the
/// server's that runs with the data folder; else nobody.
pub(super) async fn credentials(
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
    match is_own {
        true => token(running, keys).await,
        false => Ok(RegistryAuth::Anonymous),
    }
}

/// What to do besides, where a registry turned away somebody whom it does not know.
pub(super) fn or_log_in(error: Error, is_denied: bool, auth: &RegistryAuth) -> Error {
    if !is_denied || !matches!(auth, RegistryAuth::Anonymous) {
        return error;
    }
    anyhow!(
        "{error:#}\nName a file with credentials by --registry-auth (docker login writes \
         ~/.docker/config.json), or by --data-dir the folder of the server whose registry it is"
    )
}

/// A token of the server's own for its registry. The administrator's key only signs the question: by the
/// time of the call something else may listen where the server did.
async fn token(server: Running, keys: Keys) -> Result<RegistryAuth> {
    let credentials = Credentials {
        access_key_id: keys.access_key_id.as_str().into(),
        secret: Secret::new(keys.secret_access_key.as_str()),
        session_token: None,
    };
    let (url, clock) = (server.endpoint, Arc::new(SystemClock));
    let mut client = Client::new(&url, Some(credentials), server.region, clock);
    if let Some(ca) = server.ca.filter(|_| url.starts_with("https://")) {
        let pem = std::fs::read(&ca).with_context(|| format!("reading {}", ca.display()))?;
        client = client.with_tls(TlsClient::with_authorities(&ca.display().to_string(), &pem)?);
    }
    let asked = client.invoke(&shapes_ecr::SERVICE, "GetAuthorizationToken", &json!({})).await;
    let answer = asked.with_context(|| format!("asking {url} for a token of its registry"))?;
    let told = answer["authorizationData"][0]["authorizationToken"].as_str().unwrap_or_default();
    let pair = BASE64.decode(told.as_bytes()).ok().and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_ref().and_then(|pair| pair.split_once(':'));
    let (username, password) =
        pair.with_context(|| format!("{url} gave no token that can be read"))?;
    let (username, password) = (username.to_owned(), password.to_owned());
    Ok(RegistryAuth::At { url, username, password })
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
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_servers_registry_has_several_names() {
        let names = own_names("http://127.0.0.1:4566", "000000000000", "us-east-1");
        let of_ecr = "000000000000.dkr.ecr.us-east-1.amazonaws.com";
        assert_eq!(names, ["127.0.0.1:4566", of_ecr, "localhost:4566"]);
        assert_eq!(own_names("https://plane.test:1", "1", "r")[0], "plane.test:1");
    }

    #[tokio::test]
    async fn the_administrators_secret_is_told_to_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Running {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            ca: None,
            pid: 1,
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            metrics: None,
            dns: None,
        };
        let (access_key_id, secret) = ("AKIA1".to_owned(), "hush".to_owned());
        let keys = Keys { access_key_id, secret_access_key: secret };
        // Whoever listens there now asks for a password.
        let impostor = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut asked = vec![0; 16 * 1024];
            let count = stream.read(&mut asked).await.unwrap();
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked[..count].to_vec()).unwrap()
        };
        let (refused, asked) = tokio::join!(token(server, keys), impostor);
        assert!(refused.is_err());
        assert!(asked.contains("AWS4-HMAC-SHA256 Credential=AKIA1/"), "{asked}");
        assert!(!asked.contains("hush") && !asked.contains("Basic"), "{asked}");
    }
}
