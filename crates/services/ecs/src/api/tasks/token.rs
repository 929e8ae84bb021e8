//! Client tokens of RunTask (ECS semantics §1.3).

use ledger::{Tx, View};
use shapes_ecs as shapes;
use terms::{TaskId, Timestamp};

use super::show;
use crate::decide::token;
use crate::error::Error;
use crate::model::{Document, Task, TaskStatus};
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
        if text.chars().count() > MAX_CHARS {
            return Err(Error::invalid(format!("clientToken longer than {MAX_CHARS}.")));
        }
        let good = !text.is_empty() && text.bytes().all(|byte| (33..=126).contains(&byte));
        if !good {
            let text = "clientToken takes ASCII characters, without spaces.";
            return Err(Error::invalid(text));
        }
        let request = shapes::RunTaskRequest { client_token: None, ..input.clone() };
        let key = (cluster.clone(), text);
        Ok(Some(Self { key, request: Document::new(request) }))
    }

    /// The tasks that an earlier request with this token made, as a repetition is told of them:
    /// of a stopped one little, and after an hour nothing. `None` if there was none, or the token
    /// has outlived it (ECS semantics §1.3).
    ///
    /// # Errors
    /// When that request was another one.
    pub(super) fn repeated(
        &self,
        view: &impl View,
        tables: &Tables,
        now: Timestamp,
    ) -> Result<Option<Vec<shapes::Task>>, Error> {
        let Some(known) = view.get(&tables.run_tokens, &self.key) else { return Ok(None) };
        let cluster = &self.key.0;
        if token::is_spent(view, tables, cluster, &known, now) {
            return Ok(None);
        }
        if known.request != self.request {
            let tasks = known.tasks.iter().map(|&id| cluster.task_arn(id).to_string());
            return Err(Error::TokenReused { tasks: tasks.collect() });
        }
        let tasks = known.tasks.iter().filter_map(|&id| view.get(&tables.tasks, &cluster.task(id)));
        let seen = tasks.filter(|task| token::is_seen(task, now));
        Ok(Some(seen.map(|task| again(&task)).collect()))
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

/// A task as a repeated request is told of it.
fn again(task: &Task) -> shapes::Task {
    let shown = show(task, true);
    if task.status != TaskStatus::Stopped {
        return shown;
    }
    shapes::Task {
        task_arn: shown.task_arn,
        last_status: shown.last_status,
        desired_status: shown.desired_status,
        ..Default::default()
    }
}
