//! `longshore token create`: what a container instance joins with.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::text;
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// Flags of `longshore token`.
#[derive(Args, Debug)]
pub struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a token with which instances may join until it expires
    #[command(
        after_help = "Examples:\n  longshore token create --hours 4\n  longshore token create --as-keys web-1"
    )]
    Create(Create),
    /// Show the tokens that still work, without themselves
    #[command(after_help = "Example:\n  longshore token list")]
    List(List),
    /// Withdraw a token; instances that joined with it stay
    #[command(after_help = "Example:\n  longshore token revoke TOKEN-ID")]
    Revoke(Revoke),
}

#[derive(Args, Debug)]
struct Create {
    /// How long instances may join with it, in hours (at most 720)
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    life: u64,
    /// How many instances may join with it [default: any number]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
    /// The one instance name that it is for: it may take the place of an instance of that name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Make a key pair bound to this instance name instead, for the real amazon-ecs-agent
    #[arg(long, value_name = "NAME", conflicts_with_all = ["uses", "name"])]
    as_keys: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
struct Revoke {
    /// The token's id, or how it begins; `longshore token list` shows it
    id: String,
    #[command(flatten)]
    connection: Connection,
}

impl Token {
    /// Makes the token and prints it (it is shown this once), lists tokens, or withdraws one.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn run(self, format: Format) -> Result<()> {
        match self.action {
            Action::Create(create) => create.run(format).await,
            Action::List(list) => list.run(format).await,
            Action::Revoke(revoke) => {
                let client = revoke.connection.client()?;
                let input = json!({"id": revoke.id});
                client.post("/_longshore/tokens/revoke", &input).await?;
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let mut input = json!({
            "lifeSeconds": self.life.saturating_mul(3600),
            "uses": self.uses,
            "name": self.name,
        });
        if let Some(name) = &self.as_keys {
            input["asKeysFor"] = name.as_str().into();
        }
        let made = client.post("/_longshore/tokens", &input).await?;
        match format {
            Format::Json => output::json(&made)?,
            Format::Text => tell(&made, client.endpoint()),
        }
        Ok(())
    }
}

impl List {
    async fn run(self, format: Format) -> Result<()> {
        let told = self.connection.client()?.get("/_longshore/tokens").await?;
        if format == Format::Json {
            return Ok(output::json(&told)?);
        }
        let tokens = told["tokens"].as_array().cloned().unwrap_or_default();
        if tokens.is_empty() {
            say!("no token works now; 'longshore token create' makes one");
        }
        for token in tokens {
            let uses = match token["usesLeft"].as_u64() {
                Some(uses) => format!("{uses} more instances"),
                None => "any number of instances".to_owned(),
            };
            let name = match text(&token, "name") {
                "" => String::new(),
                name => format!(", for '{name}'"),
            };
            say!("{}  until {}, {uses}{name}", text(&token, "id"), text(&token, "expiresAt"));
        }
        Ok(())
    }
}

fn tell(made: &Value, endpoint: &str) {
    if let Some(token) = made["token"].as_str() {
        say!("{token}\n\nUntil {}, on each host:", text(made, "expiresAt"));
        say!("  longshore agent --server {endpoint} --token {token}");
        return;
    }
    say!("AWS_ACCESS_KEY_ID={}", text(made, "accessKeyId"));
    say!("AWS_SECRET_ACCESS_KEY={}", text(made, "secretAccessKey"));
}
