//! Configurations that change while requests are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use balancer::{Balancer, Journal, LogPlace, State, Verdict};
use stage::HeldClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{Backend, PATIENCE, Reply, World, check, group, ok, target};

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
    let (ip, port) = (world.address.ip(), world.address.port());
    config.load_balancers[0].address = ip;
    config.load_balancers[0].listeners[0].port = port;
    let troubles = other.balancer.apply(&config);
    let expected = format!("Port {port} cannot be listened on: ");
    assert!(troubles["web"].starts_with(&expected), "{troubles:?}");
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

#[tokio::test]
async fn targets_are_as_somebody_else_decided_until_nobody_does() {
    let checks = Arc::new(AtomicUsize::new(0));
    let backend = |name: &'static str| {
        let checks = checks.clone();
        Backend::begin(Arc::new(move |request| {
            if request.contains("GET /sick") {
                checks.fetch_add(1, Ordering::SeqCst);
            }
            ok(name)
        }))
    };
    let (one, two) = (backend("one").await, backend("two").await);
    let mut world = World::new();
    let mut blue = group("blue", &[&one, &two]);
    blue.check = check("/sick");
    let told = |backend: &Backend, state| {
        let target = target(backend);
        Verdict { id: target.id, port: target.port, state }
    };
    blue.verdicts = Some(vec![told(&one, State::Healthy), told(&two, State::Unhealthy)]);
    world.config.groups.push(blue);
    world.apply();
    let states = |world: &World| {
        let reports = world.balancer.health().into_iter();
        reports.map(|report| report.health.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&world), [State::Healthy, State::Unhealthy]);
    for _ in 0..6 {
        assert!(world.get("/").await.ends_with("one"));
    }
    world.config.groups[0].verdicts = Some(vec![told(&two, State::Healthy)]);
    world.apply();
    assert_eq!(states(&world), [State::Initial, State::Healthy]);
    for _ in 0..6 {
        assert!(world.get("/").await.ends_with("two"));
    }
    assert_eq!(checks.load(Ordering::SeqCst), 0, "somebody else checks them");
    world.config.groups[0].verdicts = None;
    world.apply();
    assert_eq!(states(&world), [State::Initial, State::Healthy], "they stay as they were");
    world.settle("blue", |health| health.state == State::Healthy).await;
    assert!(checks.load(Ordering::SeqCst) > 0);
}

/// Writes nothing down.
struct Nowhere;

impl Journal for Nowhere {
    fn write(&self, _: &LogPlace, _: String) {}
}

#[tokio::test]
async fn one_data_plane_takes_over_from_another_on_the_same_port() {
    let backend = Backend::named("one").await;
    let beside = || Balancer::beside_others(Arc::new(HeldClock::default()), Arc::new(Nowhere));
    let mut first = World::of(beside());
    first.config.groups.push(group("blue", &[&backend]));
    let second = World { balancer: beside(), config: first.config.clone(), address: first.address };
    first.apply();
    second.apply();
    for _ in 0..6 {
        assert!(first.get("/").await.ends_with("one"));
    }
    let counted = |world: &World| world.balancer.counts()[0].requests;
    assert_eq!(counted(&first) + counted(&second), 6);
    first.balancer.stop();
    // What came to the first one in its last moment is lost with it.
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let asked = async || {
        let mut stream = tokio::net::TcpStream::connect(second.address).await.ok()?;
        stream.write_all(request).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer.ends_with("one"))
    };
    let answered = async {
        while asked().await != Some(true) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("the second one answers");
}

#[tokio::test]
async fn two_load_balancers_do_not_listen_on_one_port() {
    let world =
        World::of(Balancer::beside_others(Arc::new(HeldClock::default()), Arc::new(Nowhere)));
    let mut config = world.config.clone();
    let mut other = config.load_balancers[0].clone();
    other.name = "zoo".to_owned();
    config.load_balancers.push(other);
    let troubles = world.balancer.apply(&config);
    let port = world.address.port();
    let expected =
        format!("Port {port} cannot be listened on: another load balancer listens there");
    assert_eq!(troubles, [("zoo".to_owned(), expected)].into());
}

#[tokio::test]
async fn the_end_waits_for_what_is_under_way() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx";
    let backend = Backend::begin(Arc::new(move |_| Reply::Bytes(half.to_owned()))).await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nx") {
        client.stream.read_buf(&mut read).await.unwrap();
    }
    let balancer = world.balancer.clone();
    let mut ending = tokio::spawn(async move { balancer.finish(PATIENCE).await });
    while tokio::net::TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let is_over = tokio::time::timeout(std::time::Duration::ZERO, &mut ending).await.is_ok();
    assert!(!is_over, "half an answer is under way");
    drop(client);
    tokio::time::timeout(PATIENCE, ending).await.expect("it ends").unwrap();
}
