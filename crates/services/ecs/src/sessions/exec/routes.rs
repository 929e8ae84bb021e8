//! The paths at which the two ends of a session come.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::exec::{AGENT_PATH, CLIENT_PATH, Kind, OpenDataChannel};
use agent_protocol::node::{ExecLog, ExecObject, OpenExec};
use hyper::upgrade::OnUpgrade;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use wire::{Route, RouteAuth, RouteRequest};

use super::end::{self, Author, Reader, Writer};
use super::meeting::{FRAMES_MAX, Who};
use super::store::scope_of;
use super::{Opening, SessionKey};
use crate::model::ExecSession;
use crate::sessions::admission::Refusal;
use crate::sessions::hub::Sessions;
use crate::sessions::registry::Full;
use crate::sessions::routes::Answer;
use crate::sessions::websocket::accept;
use crate::tables::Scope;

/// Clients that may be connected at a time, those that have shown no token included.
pub(crate) const CLIENTS_MAX: usize = 2048;

/// How long a client may take to show its token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an agent may take to come for a client that waits.
const AGENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How often an agent that does not come is asked again.
const ASK_PERIOD: Duration = Duration::from_secs(2);

/// What a client is told whose token is none.
const NO_TOKEN: &str = "the token opens no session, or was used already";

impl Sessions {
    /// Whether the agent of an instance can be asked for sessions now.
    pub(crate) fn reaches(&self, instance: &terms::ContainerInstanceArn) -> bool {
        self.hub.nodes.is_connected(instance)
    }

    /// The routes of sessions of ECS Exec.
    pub(in crate::sessions) fn exec_routes(&self) -> Vec<Route> {
        vec![
            self.route(CLIENT_PATH, RouteAuth::Unsigned, Self::answer_client),
            self.route(AGENT_PATH, RouteAuth::Signed("ecs"), Self::answer_agent),
        ]
    }

    /// A client: who it is shows in its first frame.
    fn answer_client(&self, request: RouteRequest) -> Answer {
        let id = session_id(&request, CLIENT_PATH)?;
        let permit = Arc::clone(&self.hub.exec_clients).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::Full(Full::Overloaded))?;
        let (response, upgrade) = upgrade(request)?;
        let sessions = self.clone();
        self.hub.tasks.spawn(async move { sessions.serve_client(id, upgrade, permit).await });
        Ok(response)
    }

    /// An agent: that of the session's instance.
    fn answer_agent(&self, request: RouteRequest) -> Answer {
        let id = session_id(&request, AGENT_PATH)?;
        let caller = request.caller.clone().ok_or(Refusal::Unsigned)?;
        let scope = Scope { account: caller.account.clone(), region: caller.region.clone() };
        let key = (scope, id);
        let session = self.session(&key).ok_or(Refusal::NoStream)?;
        let instance = self.instance_of(&session).ok_or(Refusal::NoStream)?;
        self.hub.check_caller(&request, &instance)?;
        let (response, upgrade) = upgrade(request)?;
        let sessions = self.clone();
        self.hub.tasks.spawn(async move {
            if let Ok(io) = upgrade.await {
                sessions.serve_agent(key, end::split(end::socket(io).await)).await;
            }
        });
        Ok(response)
    }

    async fn serve_client(&self, id: String, upgrade: OnUpgrade, permit: OwnedSemaphorePermit) {
        let Ok(io) = upgrade.await else { return };
        let (mut writer, mut reader) = end::split(end::socket(io).await);
        let first = timeout(TOKEN_TIMEOUT, reader.next()).await.ok().flatten();
        let open = first.and_then(|first| serde_json::from_slice::<OpenDataChannel>(&first).ok());
        let token = open.map(|open| open.token_value).unwrap_or_default();
        let opened = match scope_of(&token) {
            Some(scope) => {
                let key = (scope, id);
                self.spend(&key, &token).await.map(|opening| (key, opening)).ok()
            }
            None => None,
        };
        let Some((key, Opening::Open { session, was_begun })) = opened else {
            writer.close(CloseCode::Policy, NO_TOKEN).await;
            return;
        };
        self.attend_client(key, (*session, was_begun), (writer, reader)).await;
        drop(permit);
    }

    /// A client that may be there.
    async fn attend_client(
        &self,
        key: SessionKey,
        (session, was_begun): (ExecSession, bool),
        (mut writer, mut reader): (Writer, Reader),
    ) {
        let Some(stopping) = self.hub.stopping() else { return };
        let (outbox, mut frames) = mpsc::channel(FRAMES_MAX);
        let (seat, agent) = self.hub.execs.seat(&key, Who::Client, outbox.clone());
        if let Some(agent) = &agent {
            let _ = agent.send(self.author().service(Kind::StartPublication)).await;
        }
        let was_begun = was_begun || agent.is_some();
        drop((agent, outbox));
        let forward = async {
            while let Some(frame) = reader.next().await {
                counted("in", &frame);
                // What comes while the agent is away comes again.
                if let Some(agent) = self.hub.execs.outbox(&key, Who::Agent) {
                    let _ = agent.send(frame).await;
                }
            }
        };
        let ask = async {
            self.ask_agent(&key, &session, was_begun).await;
            // The other branches see the end.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {
                writer.close(CloseCode::Away, "the server is shutting down").await;
            }
            () = writer.empty(&mut frames) => {
                writer.close(CloseCode::Normal, "").await;
            }
            () = forward => {}
            () = ask => {}
        }
        let was_current = seat.is_current();
        drop(seat);
        if was_current && let Some(agent) = self.hub.execs.outbox(&key, Who::Agent) {
            let _ = agent.send(self.author().service(Kind::PausePublication)).await;
        }
    }

    async fn serve_agent(&self, key: SessionKey, (mut writer, mut reader): (Writer, Reader)) {
        let Some(stopping) = self.hub.stopping() else { return };
        let (outbox, mut frames) = mpsc::channel(FRAMES_MAX);
        let (seat, client) = self.hub.execs.seat(&key, Who::Agent, outbox.clone());
        if client.is_some() {
            let _ = outbox.send(self.author().service(Kind::StartPublication)).await;
        }
        drop((client, outbox));
        let forward = async {
            while let Some(frame) = reader.next().await {
                match end::kind(&frame) {
                    Some(Kind::StartPublication) => self.hub.execs.flow(&key),
                    Some(Kind::ChannelClosed) => return self.end_session(&key, frame).await,
                    Some(Kind::Output | Kind::Acknowledge) => {
                        if let Some(client) = self.hub.execs.client_of(&key) {
                            counted("out", &frame);
                            let _ = client.send(frame).await;
                        }
                    }
                    Some(Kind::Input | Kind::PausePublication) | None => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {
                writer.close(CloseCode::Away, "the server is shutting down").await;
            }
            () = writer.empty(&mut frames) => {
                writer.close(CloseCode::Normal, "").await;
            }
            () = forward => {
                writer.close(CloseCode::Normal, "").await;
            }
        }
        drop(seat);
    }

    /// Ends a session: its client gets `last`, and both ends are let go.
    pub(super) async fn end_session(&self, key: &SessionKey, last: bytes::Bytes) {
        self.forget_session(key).await;
        for who in [Who::Client, Who::Agent] {
            if let Some(outbox) = self.hub.execs.outbox(key, who) {
                let _ = outbox.send(last.clone()).await;
            }
        }
        self.hub.execs.part(key);
    }

    /// Ends a session because somebody asked for it.
    pub(crate) async fn terminate_session(&self, key: &SessionKey) {
        if self.session(key).is_some() {
            let last = self.author().closed(&key.1, "");
            self.end_session(key, last).await;
        }
    }

    /// The agent of a session's instance will not open it.
    pub(in crate::sessions) async fn exec_refused(
        &self,
        instance: &terms::ContainerInstanceArn,
        id: &str,
        why: &str,
    ) {
        let (account, region) = (instance.account.clone(), instance.region.clone());
        let key = (Scope { account, region }, id.to_owned());
        let of = self.session(&key).and_then(|session| self.instance_of(&session));
        if of.as_ref() == Some(instance) {
            let last = self.author().closed(id, why);
            self.end_session(&key, last).await;
        }
    }

    /// Asks the agent to come whenever it is not there; if it does not, the session is over.
    async fn ask_agent(&self, key: &SessionKey, session: &ExecSession, was_begun: bool) {
        let log = session.log.as_ref().map(|(group, region)| ExecLog {
            group: group.clone(),
            stream: key.1.clone(),
            region: region.clone(),
        });
        let object = session.bucket.as_ref().map(|(bucket, prefix)| ExecObject {
            bucket: bucket.clone(),
            key: object_key(prefix, &key.1),
        });
        let mut request = OpenExec {
            session_id: key.1.clone(),
            task_arn: session.task.clone(),
            container: session.container.clone(),
            command: session.command.clone(),
            is_begun: was_begun,
            log,
            object,
        };
        let mut missed = Duration::ZERO;
        while missed < AGENT_TIMEOUT {
            if self.hub.execs.outbox(key, Who::Agent).is_some() {
                // Should it go for good, another agent must not begin the command again.
                (request.is_begun, missed) = (true, Duration::ZERO);
            } else {
                missed += ASK_PERIOD;
                let instance = self.instance_of(session);
                if let Some(channel) = instance.and_then(|it| self.hub.nodes.handle(&it)) {
                    // A full queue is asked again.
                    let _ = channel.try_send(request.clone().into());
                }
            }
            tokio::time::sleep(ASK_PERIOD).await;
        }
        let why = "The agent of the container instance did not come.";
        self.end_session(key, self.author().closed(&key.1, why)).await;
    }

    /// The instance of a session's task.
    fn instance_of(&self, session: &ExecSession) -> Option<terms::ContainerInstanceArn> {
        let key = crate::tables::task_key(&session.task);
        let task = self.hub.ledger.snapshot().get(&self.hub.tables.tasks, &key)?;
        let (ground, instance) = crate::tables::place_of(&key, &task);
        Some(ground.instance_arn(instance))
    }

    pub(super) fn author(&self) -> Author<'_> {
        Author { clock: &*self.hub.clock, ids: &*self.hub.ids }
    }
}

fn counted(direction: &'static str, frame: &bytes::Bytes) {
    let bytes = u64::try_from(frame.len()).unwrap_or(u64::MAX);
    meters::ecs().exec_bytes.get_or_create(&meters::Direction { direction }).inc_by(bytes);
}

/// The key of a session's log, as ECS makes it: `PREFIX/ID.log`.
fn object_key(prefix: &str, id: &str) -> String {
    match prefix.trim_matches('/') {
        "" => format!("{id}.log"),
        prefix => format!("{prefix}/{id}.log"),
    }
}

fn session_id(request: &RouteRequest, prefix: &str) -> Result<String, Refusal> {
    let id = request.rest(prefix).trim_start_matches('/');
    let is_one = id.starts_with(agent_protocol::exec::SESSION_ID_PREFIX)
        && id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_one.then(|| id.to_owned()).ok_or(Refusal::NoStream)
}

fn upgrade(request: RouteRequest) -> Result<(http::Response<wire::Body>, OnUpgrade), Refusal> {
    let response = accept(&request.parts.headers)?;
    let upgrade = request.upgrade.ok_or(super::super::websocket::NoUpgrade::NotWebsocket)?;
    Ok((response, upgrade))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_lie_below_their_prefix() {
        assert_eq!(object_key("", "ecs-execute-command-1"), "ecs-execute-command-1.log");
        for prefix in ["logs/exec", "logs/exec/", "/logs/exec"] {
            assert_eq!(object_key(prefix, "s"), "logs/exec/s.log");
        }
    }
}
