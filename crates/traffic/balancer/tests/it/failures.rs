//! What clients are told when something is wrong, and health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use balancer::{Health, Reason, State};

use super::world::{Backend, Reply, World, check, group, ok};

fn is_page(answer: &str, status: &str, title: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status}\r\n"))
        && answer.contains(&format!("<title>{title}</title>"))
}

#[tokio::test]
async fn nobody_answers_503() {
    let world = World::with(&[]).await;
    let answer = world.get("/").await;
    let title = "503 Service Temporarily Unavailable";
    assert!(is_page(&answer, "503 Service Unavailable", title), "{answer}");
}

#[tokio::test]
async fn a_target_that_hangs_up_answers_502() {
    let backend = Backend::begin(Arc::new(|_| Reply::Last(String::new()))).await;
    let world = World::with(&[&backend]).await;
    let answer = world.get("/").await;
    assert!(is_page(&answer, "502 Bad Gateway", "502 Bad Gateway"), "{answer}");
    let garbled = Backend::begin(Arc::new(|_| Reply::Last("nonsense\r\n\r\n".to_owned()))).await;
    let world = World::with(&[&garbled]).await;
    let answer = world.get("/").await;
    assert!(is_page(&answer, "502 Bad Gateway", "502 Bad Gateway"), "{answer}");
}

#[tokio::test]
async fn a_target_that_says_nothing_answers_504() {
    let backend = Backend::begin(Arc::new(|_| Reply::Silence)).await;
    let mut world = World::with(&[&backend]).await;
    world.config.load_balancers[0].settings.idle = Duration::from_secs(2);
    world.apply();
    let answer = world.get("/").await;
    assert!(is_page(&answer, "504 Gateway Timeout", "504 Gateway Time-out"), "{answer}");
}

#[tokio::test]
async fn a_target_that_is_gone_is_passed_over_until_it_is_unhealthy() {
    let (stays, goes) = (Backend::named("stays").await, Backend::named("goes").await);
    let world = World::with(&[&stays, &goes]).await;
    drop(goes);
    for _ in 0..20 {
        // Those over a kept connection are sent again, new ones go to the other.
        let answer = world.get("/").await;
        assert!(answer.ends_with("stays") || answer.ends_with("goes"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_the_target_closed_is_tried_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let backend = Backend::begin(Arc::new(move |_| {
        // Says nothing of closing, and closes.
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned())
    }))
    .await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    for _ in 0..50 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.ends_with("ok"), "{answer}");
    }
    assert!(asked.load(Ordering::SeqCst) >= 50);
}

#[tokio::test]
async fn requests_that_mean_two_things_are_refused() {
    let backend = Backend::echo().await;
    let world = World::with(&[&backend]).await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nname : b\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "400"),
    ] {
        let answer = world.connect().await.ask(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer:?}");
    }
    let forwarded = vec!["192.0.2.1"; 31].join(", ");
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
    let answer = world.connect().await.ask(&request).await;
    assert!(answer.starts_with("HTTP/1.1 463 "), "{answer}");
}

#[tokio::test]
async fn health_follows_what_targets_answer() {
    let sick = Arc::new(AtomicBool::new(false));
    let is_sick = sick.clone();
    let backend = Backend::begin(Arc::new(move |_| match is_sick.load(Ordering::SeqCst) {
        true => Reply::Bytes("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
        false => ok("well"),
    }))
    .await;
    let mut world = World::new();
    world.config.groups.push(group("blue", &[&backend]));
    world.config.groups[0].check = check("/sick");
    world.apply();
    let healthy = Health { state: State::Healthy, reason: None };
    world.settle("blue", |health| *health == healthy).await;
    sick.store(true, Ordering::SeqCst);
    let unhealthy = Health { state: State::Unhealthy, reason: Some(Reason::Code(503)) };
    world.settle("blue", |health| *health == unhealthy).await;
    // With no healthy target left, all get requests.
    assert!(world.get("/").await.starts_with("HTTP/1.1 503 No\r\n"));
    sick.store(false, Ordering::SeqCst);
    world.settle("blue", |health| *health == healthy).await;
    drop(backend);
    let failed = Health { state: State::Unhealthy, reason: Some(Reason::Failed) };
    world.settle("blue", |health| *health == failed).await;
}
