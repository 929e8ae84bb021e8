//! Client tokens of RunTask (ECS semantics §1.3).

use ledger::{Tx, View};
use shapes_ecs as shapes;
use terms::TaskId;

use super::show;
use crate::error::Error;
use crate::model::Document;
use crate::tables::{ClusterKey, RunToken, Tables, TokenKey};

/// Longest client token, in characters.
const MAX_CHARS: usize = 64;

/// A client token and the request that came with it.
pub(super) struct Token {
    key: TokenKey,
    request: Document<shapes::RunTaskRequest>,
}

impl Token {
    /// Reads the token of a request; `None` if it has none.
    ///
    /// # Errors
    /// When it is too long or has characters that a token may not have.
    pub(super) fn read(
        cluster: &ClusterKey,
        input: &shapes::RunTaskRequest,
    ) -> Result<Option<Self>, Error> {
        let Some(text) = input.client_token.clone() else { return Ok(None) };
        let good = (1..=MAX_CHARS).contains(&text.len())
            && text.bytes().all(|byte| (33..=126).contains(&byte));
        if !good {
            let text = "clientToken must be 1 to 64 ASCII characters, without spaces.";
            return Err(Error::invalid(text));
        }
        let request = shapes::RunTaskRequest { client_token: None, ..input.clone() };
        let key = (cluster.clone(), text);
        Ok(Some(Self { key, request: Document::new(request) }))
    }

    /// The tasks that an earlier request with this token made; `None` if there was none.
    ///
    /// # Errors
    /// When that request was another one.
    pub(super) fn repeated(
        &self,
        view: &impl View,
        tables: &Tables,
    ) -> Result<Option<Vec<shapes::Task>>, Error> {
        let Some(known) = view.get(&tables.run_tokens, &self.key) else { return Ok(None) };
        let cluster = &self.key.0;
        if known.request != self.request {
            let tasks = known.tasks.iter().map(|&id| cluster.task_arn(id).to_string());
            return Err(Error::TokenReused { tasks: tasks.collect() });
        }
        let tasks = known.tasks.iter().filter_map(|&id| view.get(&tables.tasks, &cluster.task(id)));
        Ok(Some(tasks.map(|task| show(&task, true)).collect()))
    }

    /// Notes the tasks that the request made, if it made any.
    pub(super) fn remember(&self, tx: &mut Tx<'_>, tables: &Tables, tasks: Vec<TaskId>) {
        if tasks.is_empty() {
            return;
        }
        let row = RunToken { request: self.request.clone(), tasks, created_at: tx.now() };
        tx.put(&tables.run_tokens, self.key.clone(), row);
    }
}
