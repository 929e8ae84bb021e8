//! Which server a command talks to, and with whose key.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use terms::Region;
use wire::client::Client;
use wire::sigv4::Credentials;
use wire::tls::TlsClient;

use crate::clock::SystemClock;
use crate::data_dir::{DataDir, Keys};
use crate::settings;
use crate::shell::Shell;

/// Flags of every command that calls a server.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The server's URL, or those of several with commas between [default:
    /// LONGSHORE_SERVER, else the server of the data folder, else the AWS profile's, else
    /// AWS_ENDPOINT_URL]
    #[arg(long, alias = "server", global = true, value_name = "URL,…", env = "LONGSHORE_ENDPOINT")]
    pub endpoint: Option<String>,
    /// The authority that the server's certificate must be of (PEM) [default: the server's on this
    /// machine, else the profile's ca_bundle, else this machine's]
    #[arg(long, global = true, value_name = "FILE", env = "LONGSHORE_CA")]
    pub ca: Option<PathBuf>,
    /// The AWS profile with the keys (and the URL) of a server elsewhere [default: AWS_PROFILE if it is
    /// for such a URL, else longshore]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// The data folder of a server on this machine [default: /var/lib/longshore]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What a client needs.
pub struct Target {
    /// The server's URL, or those of several.
    pub endpoint: String,
    /// The region that is meant.
    pub region: String,
    /// What it signs with.
    pub keys: Keys,
    /// What goes with keys that end by themselves.
    pub session_token: Option<String>,
    /// The authority to trust.
    pub ca: Option<PathBuf>,
}

/// How a server is reached, without keys.
pub struct Known {
    /// Its URL.
    pub endpoint: String,
    /// The region that is meant.
    pub region: String,
    /// The authority to trust.
    pub ca: Option<PathBuf>,
}

impl Connection {
    /// A client with the named profile's keys; without one, with those of the server that runs
    /// on this machine; else with what the shell says to AWS's SDKs; else with the profile `longshore`.
    ///
    /// # Errors
    /// If none of them is there.
    pub fn client(&self) -> Result<Client> {
        let target = self.target()?;
        let region: Region = target.region.parse()?;
        let credentials = Credentials {
            access_key_id: target.keys.access_key_id.as_str().into(),
            secret: wire::Secret::new(target.keys.secret_access_key.as_str()),
            session_token: target.session_token.clone(),
        };
        let said = self.endpoint.clone().or_else(|| std::env::var("LONGSHORE_SERVER").ok());
        let endpoint = said.as_deref().unwrap_or(&target.endpoint);
        let client = Client::new(endpoint, Some(credentials), region, Arc::new(SystemClock));
        let Some(ca) = self.ca.clone().or(target.ca).filter(|_| endpoint.contains("https://"))
        else {
            return Ok(client);
        };
        let pem = std::fs::read(&ca).with_context(|| format!("reading {}", ca.display()))?;
        Ok(client.with_tls(TlsClient::with_authorities(&ca.display().to_string(), &pem)?))
    }

    fn target(&self) -> Result<Target> {
        self.found()?.with_context(|| self.what_is_missing())
    }

    fn found(&self) -> Result<Option<Target>> {
        let (shell, endpoint) = (Shell::own(), self.endpoint.as_deref());
        match &self.profile {
            Some(name) => Ok(shell.profile(name, endpoint)),
            None => Ok(self.local_target()?.or_else(|| shell.target(endpoint))),
        }
    }

    /// How the server is reached, to be written into a profile.
    ///
    /// # Errors
    /// As [`Connection::client`].
    pub fn known(&self) -> Result<Known> {
        let target = self.target()?;
        let said = self.endpoint.clone().or_else(|| std::env::var("LONGSHORE_SERVER").ok());
        let endpoint = said.unwrap_or(target.endpoint);
        let ca = self.ca.clone().or(target.ca).filter(|_| endpoint.contains("https://"));
        Ok(Known { endpoint, region: target.region, ca })
    }

    /// What this command would sign with, so that it can be kept out of what is written down.
    pub fn secrets(&self) -> Vec<String> {
        let found = self.found().ok().flatten();
        found.map(|target| target.keys.secret_access_key).into_iter().collect()
    }

    fn local_target(&self) -> Result<Option<Target>> {
        let data = DataDir::at(settings::data_dir(self.data_dir.clone())?);
        let (Some(running), Some(keys)) = (data.running(), data.administrator()) else {
            return Ok(None);
        };
        let region = running.region.to_string();
        let (session_token, ca) = (None, running.ca);
        Ok(Some(Target { endpoint: running.endpoint, region, keys, session_token, ca }))
    }

    fn what_is_missing(&self) -> String {
        match &self.profile {
            Some(name) => format!(
                "the AWS profile '{name}' has no endpoint_url, aws_access_key_id and \
                 aws_secret_access_key; 'longshore profile --name {name}' writes them"
            ),
            None => {
                "no server runs on this machine with an administrator's key, and there is no AWS \
                     profile 'longshore'; start one with 'longshore up', or name its folder with \
                     --data-dir or a profile with --profile"
                    .to_owned()
            }
        }
    }
}
