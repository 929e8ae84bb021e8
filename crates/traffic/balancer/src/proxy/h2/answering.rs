//! Requests that take the way of all, and answers as the library has them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, Request, Response};
use http2::Code;
use hyper::body::Body;

use super::link::{Link, Way};
use super::streams::Step;
use crate::inbound::Inbound;
use crate::listening::Plan;
use crate::proxy::answer;
use crate::proxy::clients::{Client, Counted};
use crate::proxy::plain::{self, Sink};

/// The answer to a request, some time.
pub(super) type Answering = Pin<Box<dyn Future<Output = Response<Counted>> + Send>>;

/// Answers a request.
pub(super) fn answered(
    request: Request<Inbound>,
    client: Arc<Client>,
    plan: Arc<Plan>,
) -> Answering {
    let under_way = client.requests.begin();
    Box::pin(async move {
        let (response, entry) = answer(request, &client, &plan, &under_way).await;
        response.map(|body| Counted::new(body, entry, under_way))
    })
}

/// An answer whose head is with the client.
pub(super) struct Sending {
    body: Pin<Box<Counted>>,
    /// What came and was not sent.
    part: Bytes,
    /// Whether nothing comes behind it.
    is_last: bool,
}

impl Sending {
    /// Sends the head; none if there is nothing else.
    pub(super) fn begin(
        response: Response<Counted>,
        is_head: bool,
        (plan, way, link): (&Plan, &Way, &mut Link),
    ) -> Option<Self> {
        let (parts, body) = response.into_parts();
        let (at, mut head, date) = link.begin(plan);
        head.begin(parts.status.as_u16(), "");
        for (name, value) in &parts.headers {
            head.header(name.as_str(), value.as_bytes());
        }
        if !parts.headers.contains_key(DATE) {
            head.date(date);
        }
        let length = body.size_hint().exact().filter(|_| !body.is_end_stream());
        if let Some(length) = length.filter(|_| !parts.headers.contains_key(CONTENT_LENGTH)) {
            head.header("content-length", length.to_string().as_bytes());
        }
        let is_over = is_head || body.is_end_stream();
        link.end_list(at, way.id, is_over);
        let body = Box::pin(body);
        (!is_over).then(|| Self { body, part: Bytes::new(), is_last: false })
    }

    /// Sends what there is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, way: &mut Way, link: &mut Link) -> Step {
        loop {
            let sent = link.data(way, &self.part, self.is_last);
            self.part.advance(sent);
            if !self.part.is_empty() {
                return Step::Blocked;
            }
            if self.is_last {
                return Step::Done;
            }
            if !link.has_room() {
                return Step::Blocked;
            }
            match self.body.as_mut().poll_frame(cx) {
                Poll::Pending => return Step::Pending,
                Poll::Ready(None) => self.is_last = true,
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "an answer ended early");
                    return Step::Broken(Code::InternalError);
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        way.since = link.now;
                        self.part = data;
                        self.is_last = self.body.is_end_stream();
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            end(&trailers, way, link);
                            return Step::Done;
                        }
                    }
                },
            }
        }
    }
}

/// Sends what comes behind a body.
fn end(trailers: &HeaderMap, way: &Way, link: &mut Link) {
    let (at, mut block) = link.list();
    for (name, value) in trailers.iter().filter(|(name, _)| plain::goes_on(name.as_str())) {
        block.field(name.as_str().as_bytes(), value.as_bytes());
    }
    link.end_list(at, way.id, true);
}
