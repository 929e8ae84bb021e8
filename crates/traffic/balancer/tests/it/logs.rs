//! What is written down of requests.

use std::sync::Arc;
use std::time::Duration;

use balancer::{Action, Balancer, Condition, Journal, LogPlace, State, Texts};
use stage::HeldClock;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::modern::{Peer, line, request};
use super::secure::{pair, shows};
use super::world::{Backend, World, group};

struct Lines(mpsc::Sender<String>);

impl Journal for Lines {
    fn write(&self, place: &LogPlace, line: String) {
        assert_eq!(place.file, "file");
        self.0.try_send(line).unwrap();
    }
}

/// The fields of a line: quoted ones without their quotation marks.
fn fields(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        match at % 2 {
            0 => all.extend(part.split_whitespace().map(str::to_owned)),
            _ => all.push(part.to_owned()),
        }
    }
    all
}

async fn world(backend: &Backend) -> (World, mpsc::Receiver<String>) {
    let (sender, lines) = mpsc::channel(64);
    let clock = Arc::new(HeldClock::default());
    let mut world = World::of(Balancer::with_journal(clock, Arc::new(Lines(sender))));
    let place = LogPlace {
        folder: "bucket/prefix".to_owned(),
        file: "file".to_owned(),
        load_balancer: "app/web/1".to_owned(),
        node: "127.0.0.1".to_owned(),
    };
    world.config.load_balancers[0].log = Some(place);
    world.config.groups.push(group("blue", &[backend]));
    world.apply();
    world.settle("blue", |health| health.state == State::Healthy).await;
    (world, lines)
}

async fn next(lines: &mut mpsc::Receiver<String>) -> Vec<String> {
    let line = tokio::time::timeout(Duration::from_secs(180), lines.recv()).await;
    fields(&line.expect("a line is written").unwrap())
}

#[tokio::test]
async fn a_line_tells_of_each_request() {
    let backend = Backend::named("well").await;
    let (mut world, mut lines) = world(&backend).await;
    let gone = Action::Fixed { status: 410, content_type: None, body: "gone".to_owned() };
    let texts = Texts::Patterns(vec!["/gone".to_owned()]);
    world.rule(vec![Condition::Path(texts)], gone);
    world.apply();
    let mut client = world.connect().await;
    let peer = client.stream.local_addr().unwrap();
    let request = "POST /a?b=c HTTP/1.1\r\nHost: A.example.com:99\r\nUser-Agent: x \"y\"\r\n\
                   Content-Length: 5\r\n\r\nhello";
    client.ask(request).await;
    let told = next(&mut lines).await;
    assert_eq!(told.len(), 33 + 2, "the quotation marks in the agent part it in three: {told:?}");
    assert_eq!((told[0].as_str(), told[2].as_str()), ("http", "app/web/1"));
    assert_eq!((&told[3], &told[4]), (&peer.to_string(), &backend.address.to_string()));
    assert_eq!([told[8].as_str(), told[9].as_str()], ["200", "200"]);
    assert!(told[5..8].iter().all(|time| time.parse::<f64>().unwrap() >= 0.0), "{told:?}");
    let head = request.len() - 5;
    let received: usize = told[10].parse().unwrap();
    assert!(received >= head && received < head + 100, "{received} bytes of {}", request.len());
    let port = world.address.port();
    assert_eq!(told[12], format!("POST http://A.example.com:{port}/a?b=c HTTP/1.1"));

    client.ask("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let told = next(&mut lines).await;
    assert_eq!(told.len(), 33, "{told:?}");
    assert_eq!([told[4].as_str(), told[8].as_str(), told[9].as_str()], ["-", "410", "-"]);
    assert_eq!([told[5].as_str(), told[6].as_str(), told[7].as_str()], ["-1", "-1", "-1"]);
    assert_eq!([told[20].as_str(), told[22].as_str()], ["1", "fixed-response"]);
}

#[tokio::test]
async fn what_is_refused_before_it_is_parsed_is_told_with_its_class() {
    let backend = Backend::named("well").await;
    let (world, mut lines) = world(&backend).await;
    let mut client = world.connect().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    client.stream.write_all(request.as_bytes()).await.unwrap();
    let told = next(&mut lines).await;
    assert_eq!(told[8], "400");
    assert_eq!([told[27].as_str(), told[28].as_str()], ["Severe", "MultipleContentLength"]);

    let mut client = world.connect().await;
    let odd = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert!(client.ask(odd).await.starts_with("HTTP/1.1 200 "));
    let told = next(&mut lines).await;
    assert_eq!([told[27].as_str(), told[28].as_str()], ["Acceptable", "GetHeadZeroContentLength"]);
}

#[tokio::test]
async fn a_client_that_goes_is_told_of() {
    let silent = Backend::begin(Arc::new(|_: &str| super::world::Reply::Silence)).await;
    let (world, mut lines) = world(&silent).await;
    let mut client = world.connect().await;
    client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    silent.until_asked().await;
    drop(client);
    let told = next(&mut lines).await;
    assert_eq!([told[8].as_str(), told[9].as_str()], ["460", "-"]);
}

#[tokio::test]
async fn both_ways_of_http2_are_written_down_alike() {
    let backend = Backend::named("well").await;
    let (mut world, mut lines) = world(&backend).await;
    let pair = pair("one", &["a.example.com"], false);
    world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
    world.apply();
    let mut peer = Peer::begin(&world, &pair).await;
    let mut told = Vec::new();
    for (id, odd) in [(1, &[][..]), (3, &[("x_y", "1")])] {
        let more = [("user-agent", "a \"b\""), ("cookie", "a"), ("cookie", "b")];
        let fields = [&line("GET", "/a?b=c")[..], &more, odd].concat();
        peer.send(&request(id, &fields, true)).await;
        peer.answer(id).await;
        told.push(next(&mut lines).await);
    }
    let port = world.address.port();
    assert_eq!(
        [told[0][0].as_str(), told[0][8].as_str(), told[0][9].as_str()],
        ["h2", "200", "200"]
    );
    assert_eq!(told[0][12], format!("GET https://a.example.com:{port}/a?b=c HTTP/2.0"));
    let received = |line: &[String]| line[10].parse::<usize>().unwrap();
    assert_eq!(received(&told[0]) + "x_y: 1\r\n".len(), received(&told[1]));
    for line in &mut told {
        // Times, what came, and what it is traced by.
        for at in [1, 5, 6, 7, 10] {
            line[at].clear();
        }
        line.iter_mut().filter(|field| field.starts_with("Root=")).for_each(String::clear);
    }
    assert_eq!(told[0], told[1]);

    // One that goes before there is an answer.
    let silent = Backend::begin(Arc::new(|_: &str| super::world::Reply::Silence)).await;
    world.config.groups = vec![group("blue", &[&silent])];
    world.apply();
    peer.send(&request(5, &line("GET", "/"), true)).await;
    silent.until_asked().await;
    drop(peer);
    let told = next(&mut lines).await;
    assert_eq!([told[8].as_str(), told[9].as_str()], ["460", "-"]);
}
