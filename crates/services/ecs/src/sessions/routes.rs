//! The paths at which sessions begin: ACS, TCS, the node channel and its streams.

use std::future::Future;

use agent_protocol::node::{CHANNEL_PATH, STREAM_PATH_PREFIX};
use agent_protocol::{acs, node, tcs};
use http::Response;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use terms::ContainerInstanceArn;
use wire::{Body, Caller, Route, RouteAuth, RouteRequest};

use super::admission::{Refusal, admit, instance_of};
use super::hub::{Hello, Hub, Sessions};
use super::logs;
use super::registry::Full;
use super::websocket::{Framing, Socket, accept};

/// Agents sign their upgrades like every other call.
const SIGNED: RouteAuth = RouteAuth::Signed("ecs");

impl Sessions {
    /// The routes of the sessions.
    pub fn routes(&self) -> Vec<Route> {
        let route = |prefix: &'static str, answer| self.route(prefix, SIGNED, answer);
        let sessions = self.clone();
        let mut routes = self.exec_routes();
        routes.extend([
            route("/acs/ws", Self::answer_control),
            route("/tcs/ws", Self::answer_telemetry),
            route(CHANNEL_PATH, Self::answer_node),
            route(STREAM_PATH_PREFIX.trim_end_matches('/'), Self::answer_stream),
            Route::new(logs::PATH, SIGNED, move |request| {
                let sessions = sessions.clone();
                async move { logs::answer(&sessions, request).await }
            }),
        ]);
        routes
    }

    /// A route on which sessions begin, once this server may begin some.
    pub(super) fn route(
        &self,
        prefix: &'static str,
        auth: RouteAuth,
        answer: fn(&Self, RouteRequest) -> Answer,
    ) -> Route {
        let sessions = self.clone();
        Route::new(prefix, auth, move |request| {
            let sessions = sessions.clone();
            async move {
                let answer = match sessions.hub.is_ready().await {
                    true => answer(&sessions, request),
                    false => Err(sessions.hub.not_ready()),
                };
                answer.unwrap_or_else(|refusal| refusal.response())
            }
        })
    }

    /// Whether the caller may open a session for the instance now: what a route asks before it
    /// answers an upgrade, for connections that come by another way (simulation).
    ///
    /// # Errors
    /// The answer that the route would give.
    pub async fn admit(
        &self,
        caller: &Caller,
        instance: &ContainerInstanceArn,
    ) -> Result<(), Response<Body>> {
        if !self.hub.is_ready().await {
            return Err(self.hub.not_ready().response());
        }
        let row = self.hub.view(instance).instance();
        let admitted = admit(caller, instance, row.as_deref());
        let room = || {
            self.hub.control.check_room()?;
            // Whoever comes this way is settled by the time that the session serves it.
            self.hub.gates.control.admit(self.hub.clock.now())?;
            Ok(())
        };
        admitted.and_then(|()| room()).map_err(|refusal| refusal.response())
    }

    fn answer_control(&self, request: RouteRequest) -> Answer {
        let instance = self.hub.admitted(&request, "containerInstanceArn")?;
        self.hub.control.check_room()?;
        let arriving = self.hub.gates.control.admit(self.hub.clock.now())?;
        let hello = Hello::from_query(|name| request.query(name));
        let hub = self.hub.clone();
        self.hub.upgraded::<AcsFraming, _, _>(request, move |socket| async move {
            hub.serve_control(socket, &instance, hello, Some(arriving)).await;
        })
    }

    fn answer_telemetry(&self, request: RouteRequest) -> Answer {
        let instance = self.hub.admitted(&request, "containerInstance")?;
        self.hub.telemetry_sessions.check_room()?;
        self.hub.gates.telemetry.admit(self.hub.clock.now())?;
        let sessions = self.clone();
        self.hub.upgraded::<TcsFraming, _, _>(request, move |socket| async move {
            sessions.serve_telemetry(socket, instance).await;
        })
    }

    fn answer_node(&self, request: RouteRequest) -> Answer {
        let instance = self.hub.admitted(&request, "containerInstance")?;
        self.hub.nodes.check_room()?;
        self.hub.gates.node.admit(self.hub.clock.now())?;
        let sessions = self.clone();
        self.hub.upgraded::<NodeFraming, _, _>(request, move |socket| async move {
            sessions.serve_node(socket, instance).await;
        })
    }

    /// The agent opens a stream that it was asked for. Its id is a secret between the two, and
    /// the caller must be the node of the instance besides.
    fn answer_stream(&self, request: RouteRequest) -> Answer {
        let id = request.rest(STREAM_PATH_PREFIX).parse().map_err(|_| Refusal::NoStream)?;
        let instance = self.hub.streams.instance(id).ok_or(Refusal::NoStream)?;
        self.hub.check_caller(&request, &instance)?;
        let opened = self.hub.streams.take(id).ok_or(Refusal::NoStream)?;
        let stopping = self.hub.stopping().ok_or(Refusal::Starting)?;
        self.hub.upgraded::<StreamFraming, _, _>(request, move |socket| async move {
            logs::pump(socket, opened, stopping).await;
        })
    }
}

/// 101, or why not.
pub(super) type Answer = Result<Response<Body>, Refusal>;

impl Hub {
    /// The instance that the request's parameter names, if its caller may open a session for it.
    fn admitted(
        &self,
        request: &RouteRequest,
        parameter: &'static str,
    ) -> Result<ContainerInstanceArn, Refusal> {
        let instance = instance_of(request, parameter)?;
        self.check_caller(request, &instance)?;
        Ok(instance)
    }

    /// Why no session may begin while no run is under way.
    pub(super) fn not_ready(&self) -> Refusal {
        match self.control.check_room() {
            Err(Full::Draining) => Full::Draining.into(),
            Ok(()) | Err(Full::Overloaded) => Refusal::Starting,
        }
    }

    pub(super) fn check_caller(
        &self,
        request: &RouteRequest,
        instance: &ContainerInstanceArn,
    ) -> Result<(), Refusal> {
        let caller = request.caller.as_ref().ok_or(Refusal::Unsigned)?;
        admit(caller, instance, self.view(instance).instance().as_deref())
    }

    /// Answers the upgrade with 101 and serves the connection in a task of its own.
    fn upgraded<F, S, A>(&self, request: RouteRequest, serve: S) -> Answer
    where
        F: Framing,
        S: FnOnce(Socket<TokioIo<Upgraded>, F>) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let response = accept(&request.parts.headers)?;
        let upgrade = request.upgrade.ok_or(super::websocket::NoUpgrade::NotWebsocket)?;
        self.tasks.spawn(async move {
            match upgrade.await {
                Ok(io) => serve(Socket::server(TokioIo::new(io)).await).await,
                Err(error) => tracing::debug!(%error, "an upgrade came to nothing"),
            }
        });
        Ok(response)
    }
}

/// Writes a channel's messages as text frames.
macro_rules! framing {
    ($(#[$doc:meta])* $name:ident, $in:ty, $out:ty, $decode:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Framing for $name {
            type In = $in;
            type Out = $out;

            fn decode(text: &str) -> Result<$in, String> {
                $decode(text).map_err(|error| error.to_string())
            }

            fn encode(message: &$out) -> String {
                message.encode()
            }
        }
    };
}
framing!(
    /// The task control channel.
    AcsFraming, acs::AgentMessage, acs::ServerMessage, acs::AgentMessage::decode
);
framing!(
    /// The telemetry channel; what agents send begins with a signed header block.
    TcsFraming, tcs::AgentMessage, tcs::ServerMessage, tcs::AgentMessage::decode_frame
);
framing!(
    /// The node channel.
    NodeFraming, node::AgentMessage, node::ServerMessage, node::AgentMessage::decode
);

/// A stream of output: the server only reads.
pub(super) struct StreamFraming;

impl Framing for StreamFraming {
    type In = node::StreamMessage;
    type Out = std::convert::Infallible;

    const IS_PACED: bool = false;

    fn decode(text: &str) -> Result<node::StreamMessage, String> {
        node::StreamMessage::decode(text).map_err(|error| error.to_string())
    }

    fn encode(message: &std::convert::Infallible) -> String {
        match *message {}
    }
}
