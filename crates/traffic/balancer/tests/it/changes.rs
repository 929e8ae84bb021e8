//! Configurations that change while requests are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{Backend, Reply, World, target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_fail_no_request() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut world = World::with(&[&one, &two]).await;
    let (address, done) = (world.address, Arc::new(AtomicBool::new(false)));
    let mut asking = tokio::task::JoinSet::new();
    let asked = Arc::new(AtomicUsize::new(0));
    for _ in 0..4 {
        let (done, asked) = (done.clone(), asked.clone());
        asking.spawn(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut client = super::world::Client { stream };
            while !done.load(Ordering::SeqCst) {
                let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for round in 0_usize..40 {
        let wanted = asked.load(Ordering::SeqCst) + 8;
        let targets = &mut world.config.groups[0].targets;
        targets[round % 2].draining = !targets[round % 2].draining;
        if targets.iter().all(|target| target.draining) {
            targets[(round + 1) % 2].draining = false;
        }
        world.apply();
        while asked.load(Ordering::SeqCst) < wanted {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::SeqCst);
    asking.join_all().await;
}

#[tokio::test]
async fn a_draining_target_gets_nothing_new() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut world = World::with(&[&one, &two]).await;
    let mut client = world.connect().await;
    world.config.groups[0].targets[0].draining = true;
    world.apply();
    for _ in 0..10 {
        assert!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("two"));
    }
    // Registered anew it is asked again, once it is healthy.
    world.config.groups[0].targets[0] = balancer::Target { registration: 2, ..target(&one) };
    world.apply();
    world.settle("blue", |health| health.state == balancer::State::Healthy).await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        names.insert(answer[answer.len() - 3..].to_owned());
    }
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn a_listener_that_goes_ends_its_idle_connections() {
    let backend = Backend::named("done").await;
    let mut world = World::with(&[&backend]).await;
    let mut idle = world.connect().await;
    assert!(idle.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("done"));
    world.listener().port += 1;
    world.apply();
    assert!(idle.is_closed().await);
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err());
    world.address.set_port(world.address.port() + 1);
    assert!(world.get("/").await.ends_with("done"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let backend = Backend::named("one").await;
    let world = World::with(&[&backend]).await;
    let other = World::new();
    let mut config = other.config.clone();
    config.load_balancers[0].address = world.address.ip();
    let troubles = other.balancer.apply(&config);
    assert!(troubles["web"].starts_with("Port 8080 cannot be listened on: "), "{troubles:?}");
    assert!(world.get("/").await.ends_with("one"));
    drop(world);
}

#[tokio::test]
async fn a_draining_target_is_idle_when_what_it_has_begun_is_over() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx";
    let backend = Backend::begin(Arc::new(move |_| Reply::Bytes(half.to_owned()))).await;
    let mut world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nx") {
        client.stream.read_buf(&mut read).await.unwrap();
    }
    world.config.groups[0].targets[0].draining = true;
    world.apply();
    let is_idle = || {
        let [report] = &world.balancer.health()[..] else { panic!("one target") };
        assert!(report.target.draining);
        report.is_idle
    };
    assert!(!is_idle(), "half an answer is under way");
    drop(client);
    while !is_idle() {
        world.balancer.changed().await;
    }
}
