//! Who gets a request: an application's cookies, and targets that are warmed up.

use std::sync::Arc;
use std::time::Duration;

use balancer::State;

use super::world::{Backend, Reply, World, ok, target};

/// A target that begins a session at `/login` and answers with its name.
async fn with_sessions(name: &'static str) -> Backend {
    Backend::begin(Arc::new(move |request| match request.starts_with("GET /login ") {
        true => Reply::Bytes(format!(
            "HTTP/1.1 200 OK\r\nSet-Cookie: SESSION=abc; Path=/\r\nContent-Length: {}\r\n\r\n{name}",
            name.len()
        )),
        false => ok(name),
    }))
    .await
}

#[tokio::test]
async fn a_client_stays_with_the_target_that_began_its_session() {
    let (one, two) = (with_sessions("one").await, with_sessions("two").await);
    let mut world = World::with(&[&one, &two]).await;
    let hour = Duration::from_secs(3600);
    world.config.groups[0].app_cookie = Some(("SESSION".to_owned(), hour));
    world.apply();
    let mut client = world.connect().await;
    let plain = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!plain.contains("AWSALB"), "{plain}");
    let begun = client.ask("GET /login HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let ours = begun.split("AWSALBAPP-0=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    let name = |answer: &str| answer[answer.len() - 3..].to_owned();
    let ask = |cookies: String| format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n");
    let both = ask(format!("SESSION=abc; AWSALBAPP-0={ours}"));
    for _ in 0..6 {
        assert_eq!(name(&client.ask(&both).await), name(&begun));
    }
    // Without the application's own cookie its session is over.
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..6 {
        names.insert(name(&client.ask(&ask(format!("AWSALBAPP-0={ours}"))).await));
    }
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn a_target_that_comes_later_gets_little_at_first() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut world = World::with(&[&one]).await;
    // So long that it is far from warm when this test ends, however slow the machine.
    world.config.groups[0].slow_start = Some(Duration::from_secs(100_000));
    world.apply();
    world.config.groups[0].targets.push(target(&two));
    world.apply();
    world.settle("blue", |health| health.state == State::Healthy).await;
    let mut client = world.connect().await;
    let mut count = 0;
    for _ in 0..200 {
        count +=
            usize::from(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("two"));
    }
    assert!(count < 40, "{count} of 200 requests");
    // It takes all if nobody else can.
    world.config.groups[0].targets.remove(0);
    world.apply();
    assert!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("two"));
}
