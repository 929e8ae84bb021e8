//! Requests and where they go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use balancer::{Action, Condition, Forwarded, Redirect, Texts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{Backend, Reply, World, forward, group};

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The request that an echoing target got.
fn echoed(answer: &str) -> &str {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn targets_take_turns_over_kept_connections() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let world = World::with(&[&one, &two]).await;
    let mut client = world.connect().await;
    let mut counts = BTreeMap::new();
    for _ in 0..20 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        *counts.entry(answer.rsplit("\r\n").next().unwrap().to_owned()).or_insert(0) += 1;
    }
    let expected = [("one".to_owned(), 10), ("two".to_owned(), 10)];
    assert_eq!(counts, BTreeMap::from(expected));
    assert_eq!(one.connections.load(Ordering::SeqCst), 1);
    assert_eq!(two.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn targets_are_told_who_asks() {
    let backend = Backend::echo().await;
    let world = World::with(&[&backend]).await;
    let request = "POST /a/b?c=d HTTP/1.1\r\nHost: Shop.Example.com\r\nX-Forwarded-For: 203.0.113.9\
                   \r\nX-Forwarded-Proto: https\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n\
                   x-CaSe: kept\r\nX-Amzn-Oidc-Identity: me\r\nContent-Length: 5\r\n\r\nhello";
    let answer = world.connect().await.ask(request).await;
    let got = echoed(&answer);
    assert!(got.starts_with("POST /a/b?c=d HTTP/1.1\r\n"), "{got}");
    let port = world.address.port().to_string();
    assert_eq!(header(got, "host"), Some(format!("shop.example.com:{port}").as_str()));
    assert_eq!(header(got, "x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(header(got, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(got, "x-forwarded-port"), Some(port.as_str()));
    assert!(header(got, "x-amzn-trace-id").unwrap().starts_with("Root=1-"), "{got}");
    assert!(got.contains("x-CaSe: kept\r\n"), "{got}");
    assert!(got.contains("X-Forwarded-For: "), "{got}");
    for gone in ["x-mine", "connection", "x-amzn-oidc-identity"] {
        assert_eq!(header(got, gone), None, "{got}");
    }
    assert!(got.ends_with("\r\n\r\nhello"), "{got}");
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let backend = Backend::echo().await;
    let world = World::with(&[&backend]).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    let answer = world.connect().await.ask(request).await;
    let got = echoed(&answer);
    let body = got.split_once("\r\n\r\n").unwrap().1;
    let sent: String = body.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(sent, "abcdefg", "{got}");
}

#[tokio::test]
async fn attributes_change_what_targets_are_told() {
    let backend = Backend::echo().await;
    let mut world = World::with(&[&backend]).await;
    let settings = &mut world.config.load_balancers[0].settings;
    settings.forwarded = Forwarded::Remove;
    settings.preserve_host = true;
    settings.drop_invalid_headers = true;
    world.apply();
    let request =
        "GET / HTTP/1.1\r\nHost: Shop.Example.com\r\nX-Forwarded-For: a\r\nodd_one: 1\r\n\r\n";
    let answer = world.connect().await.ask(request).await;
    let got = echoed(&answer);
    assert_eq!(header(got, "host"), Some("Shop.Example.com"));
    assert_eq!(header(got, "x-forwarded-for"), None);
    assert_eq!(header(got, "odd_one"), None);
    let settings = &mut world.config.load_balancers[0].settings;
    settings.forwarded = Forwarded::Append;
    settings.client_port = true;
    world.apply();
    let answer = world.get("/").await;
    let client = header(echoed(&answer), "x-forwarded-for").unwrap().to_owned();
    assert!(client.starts_with("127.0.0.1:"), "{client}");
}

#[tokio::test]
async fn rules_are_asked_in_their_order() {
    let (blue, green) = (Backend::named("blue").await, Backend::named("green").await);
    let mut world = World::with(&[&blue]).await;
    world.config.groups.push(group("green", &[&green]));
    let paths = |text: &str| vec![Condition::Path(Texts::Patterns(vec![text.to_owned()]))];
    let green = || forward(&[("green", 1)]);
    world.rule(paths("/img/private/*"), fixed(403, "not yours"));
    world.rule(paths("/img/*"), green());
    let redirect = Redirect {
        permanent: true,
        protocol: "HTTPS".to_owned(),
        host: "#{host}".to_owned(),
        port: "443".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
    };
    world.rule(paths("/secure/*"), Action::Redirect(redirect));
    world.apply();
    assert!(world.get("/img/a.png").await.ends_with("green"));
    assert!(world.get("/img").await.ends_with("blue"));
    let refused = world.get("/img/private/a.png").await;
    assert!(refused.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{refused}");
    assert_eq!(header(&refused, "content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(header(&refused, "server"), Some("awselb/2.0"));
    assert!(refused.ends_with("not yours"), "{refused}");
    let sent = world.get("/secure/a?b=c").await;
    assert!(sent.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{sent}");
    assert_eq!(header(&sent, "location"), Some("https://www.example.com:443/secure/a?b=c"));
}

fn fixed(status: u16, body: &str) -> Action {
    let content_type = Some("text/plain".to_owned());
    Action::Fixed { status, content_type, body: body.to_owned() }
}

#[tokio::test]
async fn weights_share_requests_out() {
    let (blue, green) = (Backend::named("blue").await, Backend::named("green").await);
    let mut world = World::with(&[&blue]).await;
    world.config.groups.push(group("green", &[&green]));
    let weights = |blue, green| forward(&[("blue", blue), ("green", green)]);
    world.listener().default = weights(3, 1);
    world.apply();
    let mut client = world.connect().await;
    let mut of_green = 0_u32;
    for _ in 0..2000 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        of_green += u32::from(answer.ends_with("green"));
    }
    // 500 are expected; ten standard deviations are 194.
    assert!((306..694).contains(&of_green), "{of_green}");
    world.listener().default = weights(0, 1);
    world.apply();
    for _ in 0..50 {
        assert!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("green"));
    }
    world.listener().default = weights(0, 0);
    world.apply();
    assert!(world.get("/").await.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
}

/// What a client sends back of the cookies that it was sent.
fn kept(answer: &str) -> String {
    let set = answer.lines().filter_map(|line| line.strip_prefix("Set-Cookie: "));
    let pairs: Vec<&str> = set.filter_map(|cookie| cookie.split(';').next()).collect();
    pairs.join("; ")
}

#[tokio::test]
async fn clients_stay_with_their_target_and_their_group() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut world = World::with(&[&one, &two]).await;
    let day = std::time::Duration::from_secs(86_400);
    world.config.groups[0].sticky = Some(day);
    world.apply();
    let mut client = world.connect().await;
    let begun = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let cookies = kept(&begun);
    assert!(cookies.starts_with("AWSALB=") && cookies.contains("; AWSALBCORS="), "{begun}");
    assert!(begun.contains("; Path=/; SameSite=None; Secure\r\n"), "{begun}");
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n");
    let name = |answer: &str| answer[answer.len() - 3..].to_owned();
    for _ in 0..6 {
        assert_eq!(name(&client.ask(&again).await), name(&begun));
    }
    // Its target goes: the client is sent to the other one, and stays there.
    let targets = &mut world.config.groups[0].targets;
    targets.retain(|target| (target.address == one.address) != (name(&begun) == "one"));
    world.apply();
    assert_ne!(name(&client.ask(&again).await), name(&begun));

    let green = Backend::named("green").await;
    world.config.groups[0].sticky = None;
    world.config.groups.push(group("green", &[&green]));
    let groups = |blue: u32, green: u32| Action::Forward {
        groups: vec![("blue".to_owned(), blue), ("green".to_owned(), green)],
        sticky: Some(day),
    };
    world.listener().default = groups(0, 1);
    world.apply();
    let of_green = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(of_green.ends_with("green"), "{of_green}");
    let cookies = kept(&of_green);
    assert!(cookies.starts_with("AWSALBTG=") && !cookies.contains("AWSALB="), "{of_green}");
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n");
    world.listener().default = groups(999, 1);
    world.apply();
    for _ in 0..6 {
        assert!(client.ask(&again).await.ends_with("green"));
    }
    // A group that weighs nothing keeps nobody.
    world.listener().default = groups(1, 0);
    world.apply();
    assert!(!client.ask(&again).await.ends_with("green"));
}

#[tokio::test]
async fn bytes_go_both_ways_after_an_upgrade() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst";
    let backend = Backend::begin(Arc::new(move |request| {
        assert!(request.contains("Upgrade: websocket\r\n"), "{request}");
        assert!(request.contains("Connection: Upgrade\r\n"), "{request}");
        Reply::Last(switched.to_owned())
    }))
    .await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: y\r\n\r\n";
    client.stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    client.stream.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{told}");
    assert_eq!(header(&told, "upgrade"), Some("websocket"));
    assert!(told.ends_with("\r\n\r\nfirst"), "{told}");
}
