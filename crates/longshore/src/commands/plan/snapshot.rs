//! Questions to an exported snapshot: a service over the file, as a server has one over its store.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use ecs::{CredentialsRequest, Ecs, EcsSetup, Minted, ServiceRules, SessionSetup, TaskCredentials};
use ecs::{STOPPED_TASK_RETENTION_MIN, TaskEndpointSetting};
use ledger::{ArchiveStore, Ledger};
use serde_json::Value;

use crate::clock::{RandomIds, SystemClock};
use crate::tables;

/// Answers as a server with this snapshot would.
///
/// # Errors
/// If the file cannot be read, holds clusters of several accounts or regions, or the question is
/// refused.
pub async fn ask(file: &Path, question: &Value) -> Result<Value> {
    let (schema, tables) = tables::without_secrets();
    let archive = ArchiveStore::open(file)?;
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds));
    let ledger = Ledger::open(schema, Box::new(archive), clock, ids.clone())?;
    let scopes = tables.ecs.scopes(&ledger.snapshot());
    let (account, region) = match &scopes[..] {
        [scope] => scope,
        [] => bail!("{} holds no cluster", file.display()),
        several => {
            let names: Vec<_> = several.iter().map(|(a, r)| format!("{a} {r}")).collect();
            bail!("{} holds clusters of {}", file.display(), names.join(", "))
        }
    };
    let setup = EcsSetup {
        ids,
        agent_endpoint: None,
        stopped_task_retention: STOPPED_TASK_RETENTION_MIN,
        sessions: SessionSetup {
            task_endpoint: TaskEndpointSetting::None,
            credentials: Arc::new(Nobody),
            ecr_endpoint: None,
            registry: None,
        },
        services: ServiceRules::default(),
        vpc: tables.vpc,
    };
    let ecs = Ecs::new(tables.ecs, ledger, setup);
    let answer = ecs.what_if(account, region, question.to_string().as_bytes()).await;
    let answer = answer.map_err(|error| anyhow!("{}: {}", error.code, error.message))?;
    Ok(serde_json::from_slice(&answer)?)
}

/// Nothing is started from a snapshot, so nobody asks for credentials.
struct Nobody;

impl TaskCredentials for Nobody {
    fn mint(
        &self,
        _: CredentialsRequest,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Minted, String>> + Send + '_>> {
        Box::pin(async { Err("a snapshot has no credentials".to_owned()) })
    }
}
