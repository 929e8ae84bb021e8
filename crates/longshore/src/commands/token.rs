//! `longshore token create`: what a container instance joins with.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::text;
use crate::connection::Connection;
use crate::output::{self, Format};

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
}

#[derive(Args, Debug)]
struct Create {
    /// How long instances may join with it, in hours (at most 720)
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    life: u64,
    /// Make a key pair bound to this instance name instead, for the real amazon-ecs-agent
    #[arg(long, value_name = "NAME")]
    as_keys: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Token {
    /// Makes the token and prints it: it is shown this once.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn run(self, format: Format) -> Result<()> {
        let Action::Create(create) = self.action;
        let client = create.connection.client()?;
        let mut input = json!({"lifeSeconds": create.life.saturating_mul(3600)});
        if let Some(name) = &create.as_keys {
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

fn tell(made: &Value, endpoint: &str) {
    if let Some(token) = made["token"].as_str() {
        println!("{token}\n\nUntil {}, on each host:", text(made, "expiresAt"));
        println!("  longshore agent --server {endpoint} --token {token}");
        return;
    }
    println!("AWS_ACCESS_KEY_ID={}", text(made, "accessKeyId"));
    println!("AWS_SECRET_ACCESS_KEY={}", text(made, "secretAccessKey"));
}
