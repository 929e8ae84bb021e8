//! `longshore login`: credentials that end by themselves, for oneself or in a role.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::profile::{Change, change, put};
use crate::api::text;
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// How long credentials last unless said otherwise, in hours.
const HOURS: u32 = 12;
/// The same of a role's.
const HOURS_OF_ROLE: u32 = 1;
/// The profile that they are written to.
const PROFILE: &str = "longshore-session";

/// Flags of `longshore login`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore login && AWS_PROFILE=longshore-session aws ecs list-clusters
  longshore login --role admin --profile ada
  credential_process = longshore login --credential-process --profile ada    (in ~/.aws/config)

Credentials of one's own (sts:GetSessionToken) can do all that one can but call IAM, as on AWS without a
second factor; those of a role (sts:AssumeRole) can do what the role can.")]
pub struct Login {
    /// A role to assume: its ARN or its name
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// The role session's name [default: the profile's, or 'login']
    #[arg(long, value_name = "NAME", requires = "role")]
    session_name: Option<String>,
    /// How long they last, in hours [default: 12, of a role 1]
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=36))]
    hours: Option<u32>,
    /// The profile that they are written to
    #[arg(long, value_name = "NAME", default_value = PROFILE)]
    to: String,
    /// Print them in the form of a profile's credential_process, and write nothing
    #[arg(long)]
    credential_process: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Login {
    /// Gets credentials and keeps them in the SDKs' shared files.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses, or a file cannot be written.
    pub async fn run(self, format: Format) -> Result<()> {
        let target = self.connection.known()?;
        let client = self.connection.client()?;
        let (operation, parameters) = self.question(&target.account_of(&client).await?);
        let answer = client.query(&shapes_sts::SERVICE, operation, &parameters).await?;
        let made = &answer["Credentials"];
        let member = |name: &str| -> Result<String> {
            let value = made[name].as_str().filter(|value| !value.is_empty());
            Ok(value.with_context(|| format!("the server gave no {name}"))?.to_owned())
        };
        let (id, secret) = (member("AccessKeyId")?, member("SecretAccessKey")?);
        let (token, until) = (member("SessionToken")?, member("Expiration")?);
        if self.credential_process {
            return Ok(output::json(&json!({
                "Version": 1, "AccessKeyId": id, "SecretAccessKey": secret,
                "SessionToken": token, "Expiration": until,
            }))?);
        }
        let ca = target.ca.as_ref().map(|ca| ca.display().to_string());
        let mut config =
            vec![("endpoint_url", target.endpoint.as_str()), ("region", target.region.as_str())];
        config.extend(ca.as_deref().map(|ca| ("ca_bundle", ca)));
        let credentials = [
            ("aws_access_key_id", id.as_str()),
            ("aws_secret_access_key", secret.as_str()),
            ("aws_session_token", token.as_str()),
        ];
        let section = match self.to.as_str() {
            "default" => "default".to_owned(),
            name => format!("profile {name}"),
        };
        let changes: [Change; 2] = [
            change("AWS_CONFIG_FILE", "config", &section, &config)?,
            change("AWS_SHARED_CREDENTIALS_FILE", "credentials", &self.to, &credentials)?,
        ];
        changes.iter().try_for_each(put)?;
        self.tell(format, &until, &changes)
    }

    fn tell(&self, format: Format, until: &str, changes: &[Change]) -> Result<()> {
        match format {
            Format::Json => {
                let files: Vec<&PathBuf> = changes.iter().map(Change::path).collect();
                let told = json!({ "profile": self.to, "expiration": until, "files": files });
                output::json(&told)?;
            }
            Format::Text => say!(
                "The profile '{}' has credentials until {until}.\nUse it with:  export AWS_PROFILE={}",
                self.to,
                self.to
            ),
        }
        Ok(())
    }

    /// The operation of STS, and its parameters.
    fn question(&self, account: &str) -> (&'static str, Vec<(String, String)>) {
        let named = |name: &str, value: String| (name.to_owned(), value);
        let hours = |hours: u32| named("DurationSeconds", (hours * 3600).to_string());
        let Some(role) = &self.role else {
            return ("GetSessionToken", vec![hours(self.hours.unwrap_or(HOURS))]);
        };
        let arn = match role.starts_with("arn:") {
            true => role.clone(),
            false => format!("arn:aws:iam::{account}:role/{role}"),
        };
        let session = self.session_name.clone().or_else(|| self.connection.profile.clone());
        let parameters = vec![
            named("RoleArn", arn),
            named("RoleSessionName", session.unwrap_or_else(|| "login".to_owned())),
            hours(self.hours.unwrap_or(HOURS_OF_ROLE)),
        ];
        ("AssumeRole", parameters)
    }
}

impl crate::connection::Known {
    /// The account whose key signs.
    async fn account_of(&self, client: &wire::client::Client) -> Result<String> {
        let answer: Value = client.query(&shapes_sts::SERVICE, "GetCallerIdentity", &[]).await?;
        match text(&answer, "Account") {
            "" => bail!("the server does not tell the account"),
            account => Ok(account.to_owned()),
        }
    }
}
