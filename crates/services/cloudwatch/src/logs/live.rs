//! StartLiveTail: events as they come in, once a second (API reference; the order of frames is what
//! botocore and the `aws` CLI need).
//!
//! What is taken in is offered to every session, which keeps what it wants of it in memory until its
//! client reads. A client that does not loses the oldest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context as Polled, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use shapes_logs as shapes;
use terms::Uuid;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use wire::event_stream::{Frames, event, exception};
use wire::{Body, Context};

use super::error::Error;
use super::pattern::Pattern;
use super::store::GroupId;
use super::{Logs, group_arn, scope};
use crate::Scope;

/// Time between two updates.
const EVERY: Duration = Duration::from_secs(1);
/// Events of one update; of more, as many are chosen.
const UPDATE_EVENTS_MAX: usize = 500;
/// Events that wait for a client; the oldest go.
const WAITING_MAX: usize = 5_000;
/// Updates after which a session ends.
const UPDATES_MAX: u32 = 3 * 3_600;
/// Sessions of an account in a region.
const SESSIONS_MAX: usize = 15;

/// The sessions under way.
#[derive(Debug, Default)]
pub(super) struct Live {
    sessions: Mutex<BTreeMap<Uuid, Arc<Session>>>,
}

/// What one wants, and what waits for it.
#[derive(Debug)]
struct Session {
    scope: Scope,
    /// Groups, with the ARNs that they were asked for by.
    groups: BTreeMap<GroupId, String>,
    streams: Streams,
    pattern: Pattern,
    waiting: Mutex<VecDeque<Value>>,
}

/// Which streams of a group.
#[derive(Debug)]
enum Streams {
    All,
    Named(Vec<String>),
    Beginning(Vec<String>),
}

impl Streams {
    fn has(&self, stream: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == stream),
            Self::Beginning(prefixes) => prefixes.iter().any(|prefix| stream.starts_with(prefix)),
        }
    }
}

impl Session {
    fn offer(&self, group: &GroupId, stream: &str, events: &[(i64, &str)], now: i64) {
        let Some(arn) = self.groups.get(group) else { return };
        if !self.streams.has(stream) {
            return;
        }
        let wanted = events.iter().filter(|(_, message)| self.pattern.matches(message));
        let shown = wanted.map(|(at, message)| {
            json!({
                "logStreamName": stream,
                "logGroupIdentifier": arn,
                "message": message,
                "timestamp": at,
                "ingestionTime": now,
            })
        });
        let mut waiting = self.waiting.lock();
        waiting.extend(shown);
        let over = waiting.len().saturating_sub(WAITING_MAX);
        waiting.drain(..over);
    }

    /// What has come since the last update. Of too much, every so manieth.
    fn update(&self) -> Bytes {
        let all = std::mem::take(&mut *self.waiting.lock());
        let is_sampled = all.len() > UPDATE_EVENTS_MAX;
        let count = all.len();
        let results: Vec<Value> = match is_sampled {
            false => all.into(),
            true => {
                let chosen = |index: &usize| {
                    index * UPDATE_EVENTS_MAX / count != (index + 1) * UPDATE_EVENTS_MAX / count
                };
                let all = all.into_iter().enumerate().filter(|(index, _)| chosen(index));
                all.map(|(_, event)| event).collect()
            }
        };
        let payload =
            json!({ "sessionMetadata": { "sampled": is_sampled }, "sessionResults": results });
        event("sessionUpdate", payload.to_string().as_bytes())
    }
}

impl Live {
    /// Tells of events that are on the disk.
    pub(super) fn offer(&self, group: &GroupId, stream: &str, events: &[(i64, &str)], now: i64) {
        // Matching takes its time: not under the lock.
        let sessions: Vec<_> = self.sessions.lock().values().cloned().collect();
        for session in sessions {
            session.offer(group, stream, events, now);
        }
    }

    fn begin(&self, id: Uuid, session: Session) -> Result<Arc<Session>, Error> {
        let mut sessions = self.sessions.lock();
        let of_scope = sessions.values().filter(|other| other.scope == session.scope);
        if of_scope.count() >= SESSIONS_MAX {
            return Err(Error::TooManySessions(SESSIONS_MAX));
        }
        let session = Arc::new(session);
        sessions.insert(id, Arc::clone(&session));
        Ok(session)
    }
}

/// The answer of one session. The session ends with it.
struct Tail {
    live: Arc<Live>,
    id: Uuid,
    session: Arc<Session>,
    first: VecDeque<Bytes>,
    ticks: Interval,
    /// Updates that are still to come; none when the session is over.
    left: Option<u32>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.live.sessions.lock().remove(&self.id);
    }
}

impl Frames for Tail {
    fn poll_next(&mut self, cx: &mut Polled<'_>) -> Poll<Option<Bytes>> {
        if let Some(frame) = self.first.pop_front() {
            return Poll::Ready(Some(frame));
        }
        let Some(left) = self.left else { return Poll::Ready(None) };
        std::task::ready!(self.ticks.poll_tick(cx));
        self.left = left.checked_sub(1);
        if self.left.is_none() {
            let message = json!({ "message": "The session has reached its end after 3 hours." });
            let frame = exception("SessionTimeoutException", message.to_string().as_bytes());
            return Poll::Ready(Some(frame));
        }
        Poll::Ready(Some(self.session.update()))
    }
}

impl Logs {
    /// Shows events as they come.
    pub(super) async fn start_live_tail(
        &self,
        context: Context,
        input: shapes::StartLiveTailRequest,
    ) -> Result<Body, Error> {
        let scope = scope(&context);
        let mut groups = BTreeMap::new();
        for identifier in &input.log_group_identifiers {
            let name = identifier.split_once(":log-group:").map(|(_, name)| name);
            let name = name.filter(|name| identifier.starts_with("arn:") && !name.contains(':'));
            let name = name.ok_or_else(|| {
                Error::invalid(format!("Invalid logGroupIdentifier: {identifier}: use its ARN."))
            })?;
            if *identifier != group_arn(&scope, name) {
                return Err(Error::NoGroup);
            }
            groups.insert(self.group(&scope, name)?.id, identifier.clone());
        }
        let (names, prefixes) = (&input.log_stream_names, &input.log_stream_name_prefixes);
        let streams = match (names.clone(), prefixes.clone()) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.",
                ));
            }
            (None, None) => Streams::All,
            _ if groups.len() > 1 => {
                return Err(Error::invalid(
                    "logStreamNames and logStreamNamePrefixes can be used with one log group only.",
                ));
            }
            (Some(names), None) => Streams::Named(names),
            (None, Some(prefixes)) => Streams::Beginning(prefixes),
        };
        let pattern = input.log_event_filter_pattern.as_deref().unwrap_or_default();
        let pattern =
            Pattern::parse(pattern).map_err(|_| Error::invalid("Invalid filter pattern"))?;
        // The request's id is as good as another: no two have one.
        let id = context.request_id;
        let waiting = Mutex::default();
        let session = Session { scope, groups, streams, pattern, waiting };
        let session = self.live.begin(id, session)?;
        let start = json!({
            "requestId": id.to_string(),
            "sessionId": id.to_string(),
            "logGroupIdentifiers": input.log_group_identifiers,
            "logStreamNames": names.clone().unwrap_or_default(),
            "logStreamNamePrefixes": prefixes.clone().unwrap_or_default(),
            "logEventFilterPattern": input.log_event_filter_pattern.unwrap_or_default(),
        });
        let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first =
            [event("initial-response", b"{}"), event("sessionStart", start.to_string().as_bytes())];
        let live = Arc::clone(&self.live);
        let (first, left) = (first.into(), Some(UPDATES_MAX));
        Ok(Body::frames(Tail { live, id, session, first, ticks, left }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GROUP: GroupId = [1; 16];

    fn session(streams: Streams, pattern: &str) -> Session {
        Session {
            scope: Scope {
                account: "000000000000".parse().unwrap(),
                region: "us-east-1".parse().unwrap(),
            },
            groups: [(GROUP, "arn".to_owned())].into(),
            streams,
            pattern: Pattern::parse(pattern).unwrap(),
            waiting: Mutex::default(),
        }
    }

    /// The payload of an update.
    fn update(session: &Session) -> Value {
        let frame = session.update();
        let begin = frame.iter().position(|byte| *byte == b'{').unwrap();
        serde_json::from_slice(&frame[begin..frame.len() - 4]).unwrap()
    }

    #[test]
    fn a_session_has_what_it_asked_for() {
        let check = |streams, pattern, expected: &[&str]| {
            let session = session(streams, pattern);
            let events = [(1, "one ERROR"), (2, "two")];
            session.offer(&GROUP, "web/1", &events, 9);
            session.offer(&GROUP, "job/1", &[(3, "three ERROR")], 9);
            session.offer(&[2; 16], "web/1", &events, 9);
            let update = update(&session);
            let results = update["sessionResults"].as_array().unwrap();
            let messages: Vec<&str> =
                results.iter().map(|event| event["message"].as_str().unwrap()).collect();
            assert_eq!(messages, expected);
            assert_eq!(update["sessionMetadata"]["sampled"], false);
        };
        check(Streams::All, "", &["one ERROR", "two", "three ERROR"]);
        check(Streams::All, "ERROR", &["one ERROR", "three ERROR"]);
        check(Streams::Named(vec!["web/1".to_owned()]), "", &["one ERROR", "two"]);
        check(Streams::Beginning(vec!["job".to_owned()]), "ERROR", &["three ERROR"]);
        check(Streams::Beginning(vec!["x".to_owned()]), "", &[]);
    }

    #[test]
    fn too_much_is_sampled_and_the_oldest_go() {
        let session = session(Streams::All, "");
        let texts: Vec<String> = (0..6_000).map(|number| number.to_string()).collect();
        let events: Vec<(i64, &str)> = texts.iter().map(|text| (1, text.as_str())).collect();
        session.offer(&GROUP, "s", &events, 9);
        let told = update(&session);
        let results = told["sessionResults"].as_array().unwrap();
        assert_eq!((results.len(), &told["sessionMetadata"]["sampled"]), (500, &json!(true)));
        let first: usize = results[0]["message"].as_str().unwrap().parse().unwrap();
        assert!(first >= 1_000, "{first}");
        assert_eq!(update(&session)["sessionResults"], json!([]));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_come_in_order_and_end_after_three_hours() {
        let live = Arc::new(Live::default());
        let id = Uuid::from_random([7; 16]);
        let session = live.begin(id, session(Streams::All, "")).unwrap();
        live.offer(&GROUP, "s", &[(1, "hello")], 2);
        let ticks = interval_at(Instant::now() + EVERY, EVERY);
        let first = [Bytes::from_static(b"first")].into();
        let mut tail = Tail { live: Arc::clone(&live), id, session, first, ticks, left: Some(2) };
        let mut frames = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| tail.poll_next(cx)).await {
            frames.push(String::from_utf8_lossy(&frame).into_owned());
        }
        assert_eq!((frames.len(), frames[0].as_str()), (4, "first"));
        assert!(frames[1].contains("sessionUpdate") && frames[1].contains("hello"), "{frames:?}");
        assert!(frames[3].contains("SessionTimeoutException"), "{frames:?}");
        drop(tail);
        assert!(live.sessions.lock().is_empty());
    }
}
