//! Calls what lifecycle hooks of deployments name: a URL, or, in place of a Lambda function, a program
//! of that name in the data folder. Which programs there are is the operator's to say: nothing that
//! comes over the API names a path (docs/decisions/0112).

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ecs::{HookCaller, HookFailure};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use wire::tls::{Connector, TlsClient};

/// How long an endpoint may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How much of what a program says of its failure is told, in bytes.
const TOLD_BYTES: usize = 512;

/// Calls URLs, and programs of a folder. Authorities of TLS are those of the machine.
pub struct DeploymentHooks {
    folder: PathBuf,
    region: String,
    /// Made when it is first needed, for the machine's authorities take a while to read.
    client: OnceLock<Client<Connector, Full<Bytes>>>,
}

impl DeploymentHooks {
    /// Programs are those of `folder`, which need not be there.
    pub fn new(folder: PathBuf, region: String) -> Arc<Self> {
        Arc::new(Self { folder, region, client: OnceLock::new() })
    }

    fn client(&self) -> &Client<Connector, Full<Bytes>> {
        self.client.get_or_init(|| {
            let mut connector = HttpConnector::new();
            connector.enforce_http(false);
            connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
            let connector = TlsClient::system().connector(connector);
            Client::builder(TokioExecutor::new()).build(connector)
        })
    }

    async fn post(&self, url: &str, event: String) -> Result<String, HookFailure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(event)))
            .map_err(|_| HookFailure::lasting("its URL cannot be called"))?;
        let answer = self.client().request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            HookFailure::passing(cause.unwrap_or_else(|| error.to_string()))
        })?;
        let status = answer.status();
        if !status.is_success() {
            let may_pass = status.is_server_error()
                || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
            return Err(HookFailure { text: format!("it answered {status}"), may_pass });
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => too_long(),
            false => HookFailure::passing("its answer ended early"),
        })?;
        text(body.to_bytes().to_vec())
    }

    async fn run(&self, name: &str, event: String) -> Result<String, HookFailure> {
        let program = self.folder.join(name);
        let mut command = Command::new(&program);
        command.env_clear().env("AWS_LAMBDA_FUNCTION_NAME", name).env("AWS_REGION", &self.region);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.kill_on_drop(true).spawn();
        let mut child = spawned.map_err(|error| {
            let place = program.display();
            HookFailure::lasting(format!("the program {place} cannot be run: {error}"))
        })?;
        let (Some(mut input), Some(out), Some(told)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(HookFailure::lasting("the program has no output"));
        };
        let give = async move {
            // A program may answer without reading.
            let _ = input.write_all(event.as_bytes()).await;
        };
        let ((), answer, told) = tokio::join!(give, read(out), read(told));
        if answer.len() > MAX_ANSWER_BYTES {
            return Err(too_long());
        }
        let ended = child.wait().await;
        let ended = ended.map_err(|error| HookFailure::lasting(error.to_string()))?;
        let told = String::from_utf8_lossy(&told);
        if !told.trim().is_empty() {
            tracing::info!(function = name, said = %told.trim_end(), "a lifecycle hook");
        }
        if !ended.success() {
            return Err(HookFailure::lasting(failed(ended, told.trim())));
        }
        text(answer)
    }
}

/// All that a program writes, as far as it is not too much.
async fn read(from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_ANSWER_BYTES + 1).unwrap_or(u64::MAX);
    let _ = from.take(limit).read_to_end(&mut bytes).await;
    bytes
}

fn text(bytes: Vec<u8>) -> Result<String, HookFailure> {
    String::from_utf8(bytes).map_err(|_| HookFailure::lasting("its answer is no text"))
}

fn too_long() -> HookFailure {
    HookFailure::lasting(format!("its answer has more than {MAX_ANSWER_BYTES} bytes"))
}

fn failed(ended: ExitStatus, told: &str) -> String {
    match told.lines().last().map(|line| line.chars().take(TOLD_BYTES).collect::<String>()) {
        Some(line) => format!("the program ended with {ended}: {line}"),
        None => format!("the program ended with {ended}"),
    }
}

/// The name in a function's ARN, without a version; none if it could be a path.
fn function(arn: &str) -> Option<&str> {
    let name = arn.split(":function:").nth(1)?.split(':').next()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_name = !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain);
    is_name.then_some(name)
}

#[async_trait]
impl HookCaller for DeploymentHooks {
    async fn call(&self, target: &str, event: String) -> Result<String, HookFailure> {
        if target.starts_with("http://") || target.starts_with("https://") {
            return self.post(target, event).await;
        }
        match function(target) {
            Some(name) => self.run(name, event).await,
            None => Err(HookFailure::lasting("it is no name of a function")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:";

    fn program(script: &str) -> (tempfile::TempDir, Arc<DeploymentHooks>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gate");
        // Whoever has a program open for writing, or was forked while this process had, keeps it from
        // being run: so another process writes it.
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod +x "$2""#;
        let mut writer = std::process::Command::new("sh");
        let written = writer.args(["-c", write, "sh", script]).arg(&file).status();
        assert!(written.unwrap().success());
        let hooks = DeploymentHooks::new(folder.path().into(), "us-east-1".into());
        (folder, hooks)
    }

    async fn call(script: &str) -> Result<String, HookFailure> {
        let (_folder, hooks) = program(script);
        hooks.call(&format!("{ARN}gate:3"), "{\"a\": 1}".to_owned()).await
    }

    #[tokio::test]
    async fn a_program_gets_the_event_and_answers() {
        assert_eq!(call("cat").await.unwrap(), "{\"a\": 1}");
        let told = call("echo $AWS_LAMBDA_FUNCTION_NAME $AWS_REGION; env | grep -c CARGO").await;
        // grep found nothing and said so by its status.
        assert!(told.is_err());
        assert_eq!(call("echo $AWS_LAMBDA_FUNCTION_NAME").await.unwrap(), "gate\n");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told() {
        let check = |answer: Result<String, HookFailure>, expected: &str| {
            let failure = answer.unwrap_err();
            assert!(failure.text.contains(expected), "{failure:?}");
            assert!(!failure.may_pass);
        };
        check(call("echo no database >&2; exit 3").await, "exit status: 3: no database");
        check(call("head -c 70000 /dev/zero").await, "more than 65536 bytes");
        let (_folder, hooks) = program("true");
        let other = hooks.call(&format!("{ARN}other"), String::new()).await;
        check(other, "cannot be run");
        let path = hooks.call(&format!("{ARN}../gate"), String::new()).await;
        check(path, "no name of a function");
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_may_come_back() {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let hooks = DeploymentHooks::new("/none".into(), "us-east-1".into());
        let failure = hooks.call(&format!("http://127.0.0.1:{port}/"), String::new()).await;
        assert!(failure.unwrap_err().may_pass);
    }
}
