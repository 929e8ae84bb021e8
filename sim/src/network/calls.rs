//! Calls: one request, one answer, through a server's real edge.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use wire::client::{Exchange, Exchanged, NotExchanged};

use super::Roads;
use crate::life::Life;
use crate::mutation::Mutation;
use crate::server::{Server, number_of};
use crate::world::World;

/// The longest way of a request or an answer on a good day.
const WAY: Duration = Duration::from_millis(8);
/// What an answer may hold, in bytes.
const ANSWER_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// What carries the calls of one caller: a client, an agent, or a server that sends on what it
/// was asked.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) world: World,
    /// The caller, for the log.
    pub(crate) name: String,
    pub(crate) life: Life,
    pub(crate) roads: Roads,
}

impl Exchange for Wire {
    fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Exchanged> + Send>> {
        let wire = self.clone();
        Box::pin(async move { wire.call(request).await })
    }
}

impl Wire {
    async fn call(&self, request: Request<Full<Bytes>>) -> Exchanged {
        self.life.pass().await;
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let what = operation(&parts);
        let number = number_of(&parts.uri).expect("callers know servers alone");
        let link = self.roads.to(number);
        self.world.note(format!("{} is to call {what} of s{number}", self.name));
        link.open().await;
        if self.world.strikes(|faults| faults.lost_request) {
            return self.lose("lost request", &what).await;
        }
        tokio::time::sleep(self.world.delay(WAY)).await;
        self.life.pass().await;
        let Some(server) = self.world.server(number) else {
            return Err(NotExchanged::Unreached("connection refused".to_owned()));
        };
        let request = Request::from_parts(parts, bytes);
        if self.world.is_mutated(Mutation::SwallowsReports)
            && what == "SubmitTaskStateChange"
            && self.world.draw(|chance| chance.below(10)) == 0
        {
            return Ok(Response::new(Bytes::from_static(b"{\"acknowledgment\":\"ok\"}")));
        }
        if self.world.strikes(|faults| faults.doubled_call) {
            self.world.tally("doubled call", format!("{} {what}", self.name));
            self.again_later(&server, request.clone());
        }
        self.world.note(format!("{} calls {what}", self.name));
        let answer = serve(&server, request);
        let answer = tokio::select! {
            biased;
            () = server.life.over() => return Err(reset()),
            answer = answer => answer?,
        };
        let status = answer.status().as_u16();
        self.world.note(format!("{} gets {status} for {what}", self.name));
        if self.world.strikes(|faults| faults.lost_answer) {
            return self.lose("lost answer", &what).await;
        }
        tokio::time::sleep(self.world.delay(WAY)).await;
        link.open().await;
        self.life.pass().await;
        Ok(answer)
    }

    /// The caller sees a broken connection, or nothing until its time is over.
    async fn lose(&self, how: &'static str, what: &str) -> Exchanged {
        self.world.tally(how, format!("{} {what}", self.name));
        if self.world.strikes(|faults| faults.silent_loss) {
            std::future::pending::<()>().await;
        }
        Err(reset())
    }

    /// What a proxy does that gave up too early: the same request arrives once more.
    fn again_later(&self, server: &std::sync::Arc<Server>, request: Request<Bytes>) {
        let (world, copy) = (self.world.clone(), server.clone());
        let wait = self.world.draw(|chance| chance.millis(0, 3_000));
        server.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Ok(answer) = serve(&copy, request).await {
                world.note(format!("the doubled call got {}", answer.status().as_u16()));
            }
        });
    }
}

/// The server handles the request whether or not somebody waits for the answer.
async fn serve(server: &std::sync::Arc<Server>, request: Request<Bytes>) -> Exchanged {
    let (edge, life) = (server.edge.clone(), server.life.clone());
    let (sender, answered) = tokio::sync::oneshot::channel();
    server.spawn(async move {
        life.pass().await;
        let answer = edge.handle(request, None).await;
        let (parts, body) = answer.into_parts();
        let bytes = body.collect(ANSWER_LIMIT_BYTES).await.unwrap_or_default();
        life.pass().await;
        let _ = sender.send(Response::from_parts(parts, bytes));
    });
    answered.await.map_err(|_| reset())
}

fn reset() -> NotExchanged {
    NotExchanged::Broken("connection reset by peer".to_owned())
}

fn operation(parts: &http::request::Parts) -> String {
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let name = target.and_then(|target| target.rsplit_once('.')).map(|(_, name)| name.to_owned());
    name.unwrap_or_else(|| parts.uri.path().to_owned())
}
