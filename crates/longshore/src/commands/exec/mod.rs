//! `longshore exec`: ECS Exec without the session-manager-plugin.

mod session;
mod terminal;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use self::session::Session;
use crate::api::{self, ecs, text};
use crate::connection::Connection;
use crate::exit::Exit;

/// Flags of `longshore exec`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  longshore exec TASK -- /bin/sh\n  longshore exec TASK \
    --container web -- ls -l /srv")]
pub struct Exec {
    /// The task's id or ARN
    task: String,
    /// The task's cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    cluster: String,
    /// The container [default: the task's only one]
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// The command and its arguments, run as root without a shell [default: /bin/sh]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Exec {
    /// Runs the command at this terminal, and ends with its exit code.
    ///
    /// # Errors
    /// If the task cannot be reached so, or the connection is lost for good.
    pub async fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        api::task_id(&self.task)?;
        let shell = ["/bin/sh".to_owned()];
        let words = if self.command.is_empty() { &shell[..] } else { &self.command };
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let mut input = json!({
            "cluster": self.cluster,
            "task": self.task,
            "command": words.join(" "),
            "interactive": true,
        });
        if let Some(container) = &self.container {
            input["container"] = container.as_str().into();
        }
        let answer = ecs(&client, "ExecuteCommand", &input).await?;
        let session = &answer["session"];
        let (id, token) = (text(session, "sessionId"), text(session, "tokenValue"));
        let ended = Session::new(client, id, token).run().await?;
        if !ended.why.is_empty() {
            bail!("{}", ended.why);
        }
        match ended.code {
            0 => Ok(()),
            code => Err(Exit(code).into()),
        }
    }
}

/// The word as ECS Exec reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_they_were() {
        let check = |words: &[&str]| {
            let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            let read = agent_protocol::exec::split(&quoted.join(" ")).ok();
            let expected = words.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(read, Some(expected), "{quoted:?}");
        };
        check(&["sh", "-c", "echo \"it's\"; exit 3"]);
        check(&["", "a b", "\\", "'"]);
    }
}
