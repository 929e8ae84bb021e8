//! Requests without a body that came over HTTP/2: each is written to a target on the task that answers
//! it, and the answer read there.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::body::{Frame, SizeHint};

use super::reply::{Framing, Reply, Told};
use super::request::title;
use super::talk::{End, Patience, poll_more};
use super::trailers::Trailers;
use super::{Failed, Noted, TRIES};
use crate::proxy::answer::{Answer, Broken};
use crate::targets::{Connecting, GroupState, TargetState, Wire};

/// The answer, or what the client is told else.
type Answered = Result<(Response<Answer>, Arc<TargetState>), StatusCode>;

/// Sends a request to a target of the group, which speaks plain HTTP/1.1.
///
/// # Errors
/// The status of the page that the client gets.
pub(in crate::proxy) async fn forward(
    parts: &Parts,
    group: &GroupState,
    (mut pinned, idle): (Option<Arc<TargetState>>, Duration),
    noted: &mut Noted,
) -> Answered {
    let asked = head(parts);
    let told = Told { date: "", is_head: parts.method == Method::HEAD, ends: false };
    let (mut not, mut may_repeat) = (None, super::super::forward::is_safe(&parts.method));
    for tried in 0..TRIES {
        let next = || group.pick(not.as_ref()).or_else(|| group.pick(None)).cloned();
        let target = pinned.take().or_else(next).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let wire = match Wire::take(target.clone(), tried > 0).await {
            Ok(wire) => wire,
            Err(Connecting::Timeout) => return Err(StatusCode::GATEWAY_TIMEOUT),
            Err(Connecting::Failed) => {
                not = Some(target);
                continue;
            }
        };
        if let Some(entry) = noted {
            entry.dispatch(target.address());
        }
        let reused = wire.reused;
        match exchange(wire, &asked, &told, idle).await {
            Ok(response) => {
                if let Some(entry) = noted {
                    entry.answered(response.status().as_u16());
                }
                return Ok((response, target));
            }
            Err(Failed::Late) => return Err(StatusCode::GATEWAY_TIMEOUT),
            // A kept connection that the target closed meanwhile.
            Err(_) if reused && may_repeat => may_repeat = false,
            Err(_) => return Err(StatusCode::BAD_GATEWAY),
        }
    }
    Err(StatusCode::BAD_GATEWAY)
}

async fn exchange(
    mut wire: Wire,
    asked: &[u8],
    told: &Told<'_>,
    idle: Duration,
) -> Result<Response<Answer>, Failed> {
    let mut patience = Patience::new(idle);
    let (mut came, mut response) = (Vec::new(), Response::new(()));
    let failed = |end: End| if end == End::Late { Failed::Late } else { Failed::Target };
    patience.send(&mut wire.stream, asked).await.map_err(failed)?;
    let reply = loop {
        let more = std::future::poll_fn(|cx| match poll_more(&mut wire.stream, cx, &mut came) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Ok(())),
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Failed::Target)),
            Poll::Pending => patience.poll_late(cx).map(|()| Err(Failed::Late)),
        });
        more.await?;
        patience.moved();
        match Reply::read(&came, &mut response, told) {
            Ok(Some(reply)) => break reply,
            Ok(None) => {}
            Err(_) => return Err(Failed::Target),
        }
    };
    let trailers = Trailers::default();
    let carried = Carried { wire: Some(wire), reply, came, trailers, patience };
    let body = carried.begun().map_err(|_| Failed::Target)?;
    Ok(response.map(|()| body))
}

/// The head as a target of HTTP/1.1 gets it, with names as people write them.
fn head(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    for text in [parts.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(text.as_bytes());
    }
    // The host comes first, as servers like it best (RFC 9112, 3.2).
    let host = parts.headers.get(HOST).map(|value| (&HOST, value));
    for (name, value) in
        host.into_iter().chain(parts.headers.iter().filter(|(name, _)| *name != HOST))
    {
        title(&mut out, name.as_str());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The body of a target's answer, as it comes.
pub(in crate::proxy) struct Carried {
    /// None once it is whole.
    wire: Option<Wire>,
    reply: Reply,
    /// What came and was not passed on yet, behind the head at first.
    came: Vec<u8>,
    /// What came behind its chunks.
    trailers: Trailers,
    patience: Patience,
}

impl Carried {
    /// The body, of which a part may have come along with the head.
    fn begun(mut self) -> Result<Answer, End> {
        let came = std::mem::take(&mut self.came);
        let (length, is_plain) =
            (self.reply.length, matches!(self.reply.framing, Framing::Length(_)));
        let first = match is_plain {
            true => {
                let taken = self.reply.framing.take(&came[length..])?;
                self.settle(taken == came.len() - length);
                Bytes::from(came).slice(length..length + taken)
            }
            false => Bytes::from(self.read(&came[length..])?),
        };
        if self.wire.is_none() && self.trailers.is_empty() {
            return Ok(Answer::own(first));
        }
        self.came = first.into();
        Ok(Answer::Carried(Box::new(self)))
    }

    /// The data in these bytes of the body.
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<u8>, End> {
        let mut data = Vec::with_capacity(bytes.len());
        let taken = self.reply.framing.data(bytes, &mut data, &mut self.trailers)?;
        self.settle(taken == bytes.len());
        Ok(data)
    }

    /// Gives the connection back once the body is whole; `is_clean` if nothing came behind it.
    fn settle(&mut self, is_clean: bool) {
        if self.reply.framing.is_over()
            && let Some(wire) = self.wire.take()
            && self.reply.keeps
            && is_clean
        {
            wire.keep();
        }
    }

    pub(in crate::proxy) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if !self.came.is_empty() {
                let data = std::mem::take(&mut self.came);
                return Poll::Ready(Some(Ok(Frame::data(data.into()))));
            }
            let Some(wire) = &mut self.wire else {
                let trailers = std::mem::take(&mut self.trailers).map();
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            };
            let mut came = Vec::new();
            match poll_more(&mut wire.stream, cx, &mut came) {
                Poll::Ready(Ok(0)) if self.reply.framing == Framing::Close => self.wire = None,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(Err(Broken::Early))),
                Poll::Ready(Ok(_)) => {
                    self.patience.moved();
                    match self.read(&came) {
                        Ok(data) => self.came = data,
                        Err(_) => return Poll::Ready(Some(Err(Broken::Early))),
                    }
                }
                Poll::Pending => {
                    ready!(self.patience.poll_late(cx));
                    return Poll::Ready(Some(Err(Broken::Idle)));
                }
            }
        }
    }

    /// Whether all of it has been passed on.
    pub(in crate::proxy) fn is_end(&self) -> bool {
        self.wire.is_none() && self.came.is_empty() && self.trailers.is_empty()
    }

    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        let here = u64::try_from(self.came.len()).unwrap_or(u64::MAX);
        match self.reply.framing {
            Framing::Length(left) => SizeHint::with_exact(left.saturating_add(here)),
            Framing::Chunked(_) | Framing::Close => SizeHint::default(),
        }
    }
}
