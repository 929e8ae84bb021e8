//! Many agents at once, and agents that flood.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{self, Message};

use super::super::arrivals::ArrivalLimits;
use super::super::testing::instance_arn;
use super::sockets::{Served, hear, soon};

#[tokio::test]
async fn agents_are_refused_before_the_upgrade_when_too_many_come() {
    let served = Served::start().await;
    let limits = ArrivalLimits { per_second: 1, burst: 2, unsettled: 8 };
    served.world.sessions.limit_arrivals(limits);
    let path = format!("/acs/ws?containerInstanceArn={}", instance_arn());
    let mut first = soon(served.connect(&path)).await.expect("room");
    soon(hear(&mut first)).await;
    let mut second = soon(served.connect(&path)).await.expect("room");
    soon(hear(&mut second)).await;
    // The clock stands: nobody else comes in, and each is told to come later than the one before.
    for seconds in 1..=3 {
        let error = soon(served.connect(&path)).await.expect_err("no room");
        let tungstenite::Error::Http(response) = error else { panic!("{error:?}") };
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], seconds.to_string());
        let body = response.body().as_deref().unwrap_or_default();
        assert!(String::from_utf8_lossy(body).contains("too many agents come"));
    }
    assert_eq!(served.world.sessions.refused_arrivals(), 3);
    // Telemetry has a bucket of its own.
    let path = format!("/tcs/ws?containerInstance={}", instance_arn());
    soon(served.connect(&path)).await.expect("room");
}

#[tokio::test]
async fn an_agent_that_floods_is_closed_and_others_go_on() {
    let served = Served::start().await;
    let mut good = soon(served.connect_control()).await;
    soon(hear(&mut good)).await;
    for path in ["/tcs/ws?containerInstance=", "/_longshore/node/ws?containerInstance="] {
        let path = format!("{path}{}", instance_arn());
        let mut bad = soon(served.connect(&path)).await.expect("room");
        for _ in 0..64 {
            // It may be closed by then.
            if bad.send(Message::text("no message at all")).await.is_err() {
                break;
            }
        }
        soon(async { while let Some(Ok(_)) = bad.next().await {} }).await;
    }
    let manifest = soon(hear(&mut good)).await;
    assert!(manifest.starts_with(r#"{"type":"TaskManifestMessage""#), "{manifest}");
}

/// Larger than any frame may be: refused by its header, nothing of it is kept.
#[tokio::test]
async fn a_frame_that_is_too_large_ends_its_connection() {
    let served = Served::start().await;
    let mut bad = soon(served.connect_control()).await;
    soon(hear(&mut bad)).await;
    let large = "x".repeat(agent_protocol::MAX_FRAME_BYTES + 1);
    let _ = soon(bad.send(Message::text(large))).await;
    soon(async { while let Some(Ok(_)) = bad.next().await {} }).await;
    served.world.until(|world| world.sessions.connected() == 0).await;
}

#[tokio::test]
async fn a_stop_ends_streams_that_are_followed() {
    let served = Served::start().await;
    let streams = served.world.sessions.hub.streams.clone();
    let id = terms::Uuid::from_random([7; 16]);
    let mut expected = streams.expect(id, instance_arn()).expect("room");
    let mut stream = soon(served.connect(&format!("/_longshore/streams/{id}"))).await.expect("it");
    let mut lines = soon(expected.opened()).await.expect("an agent").expect("a stream");
    served.world.shutdown.cancel();
    let last = soon(lines.recv()).await.expect("a last word");
    assert_eq!(last.expect_err("no line"), "the server is shutting down");
    assert!(soon(lines.recv()).await.is_none());
    let close = loop {
        match soon(stream.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(close, 1001);
}
