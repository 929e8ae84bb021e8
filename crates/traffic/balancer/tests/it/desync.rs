//! Requests that two could read in two ways: what the target gets of them, and what the client.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use balancer::Desync;
use tokio::io::AsyncWriteExt;

use super::world::{Backend, Reply, World, ok};

/// A load balancer before a target that remembers what it was sent.
struct Scene {
    world: World,
    seen: Arc<Mutex<Vec<String>>>,
    _backend: Backend,
}

impl Scene {
    async fn new(mode: Desync) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let backend = Backend::begin(Arc::new(move |request| -> Reply {
            notes.lock().unwrap().push(request.to_owned());
            ok("fine")
        }))
        .await;
        let mut world = World::with(&[&backend]).await;
        world.config.load_balancers[0].settings.desync = mode;
        world.apply();
        Self { world, seen, _backend: backend }
    }

    /// What a client gets that sends this, and whether its connection ends then.
    async fn send(&self, text: &str) -> (String, bool) {
        let mut client = self.world.connect().await;
        let answer = client.ask(text).await;
        let ends = answer.to_ascii_lowercase().contains("connection: close");
        if ends || answer.is_empty() {
            assert!(client.is_closed().await, "{text:?}");
        }
        (answer, ends)
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

const BOTH: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\
    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn ambiguous_requests_pass_once_and_end_their_connections() {
    let scene = Scene::new(Desync::Defensive).await;
    for text in [
        BOTH,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: nameless\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let (answer, ends) = scene.send(text).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && ends, "{text:?}: {answer}");
        let seen = scene.seen();
        assert_eq!(seen.len(), 1, "{text:?}: {seen:?}");
        let head = seen[0].to_ascii_lowercase();
        let is_framed_once =
            !(head.contains("content-length:") && head.contains("transfer-encoding:"));
        assert!(is_framed_once && !head.contains("smuggled"), "{head}");
        assert!(!head.contains("transfer_encoding"), "{head}");
    }
}

#[tokio::test]
async fn what_is_harmless_passes_in_its_usual_form() {
    let scene = Scene::new(Desync::Defensive).await;
    for (text, line) in [
        ("GET /x HTTP/1.1\nHost: a\n\n", "GET /x HTTP/1.1\r\nHost: a"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%20b HTTP/1.1\r\n"),
        ("GET /x HTTP/1.7\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1\r\n"),
        ("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1\r\n"),
        ("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "GET /x HTTP/1.1\r\n"),
    ] {
        let (answer, ends) = scene.send(text).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && !ends, "{text:?}: {answer}");
        let seen = scene.seen();
        assert!(seen.len() == 1 && seen[0].contains(line), "{text:?}: {seen:?}");
    }
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;note=\"x\"\r\nabc\r\n0\r\n\r\n";
    let (answer, _) = scene.send(chunked).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = scene.seen();
    assert!(seen[0].contains("abc") && !seen[0].contains("note"), "{seen:?}");
}

#[tokio::test]
async fn severe_requests_get_elb_s_page_and_go_no_further() {
    for mode in [Desync::Monitor, Desync::Defensive, Desync::Strictest] {
        let scene = Scene::new(mode).await;
        let long = "a".repeat(16 * 1024);
        for (text, status) in [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
            ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
            (&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
            (&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 400),
            (&format!("GET / HTTP/1.1\r\n{}\r\n", "X: 0123456789\r\n".repeat(5000)), 400),
        ] {
            let (answer, ends) = scene.send(text).await;
            let shown: String = text.chars().take(80).collect();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
            assert!(ends && answer.contains(&format!("<title>{status} ")), "{shown:?}: {answer}");
            assert!(answer.contains("Server: awselb/2.0\r\n"), "{answer}");
        }
        assert_eq!(scene.seen(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn modes_decide_about_the_rest() {
    let strict = Scene::new(Desync::Strictest).await;
    for text in [BOTH, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n"] {
        let (answer, ends) = strict.send(text).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && ends, "{text:?}: {answer}");
    }
    assert_eq!(strict.seen(), Vec::<String>::new());
    let lenient = Scene::new(Desync::Monitor).await;
    let (answer, ends) = lenient.send("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && !ends, "{answer}");
}

#[tokio::test]
async fn a_request_before_a_bad_one_is_answered() {
    let scene = Scene::new(Desync::Defensive).await;
    let mut client = scene.world.connect().await;
    let both = "GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/9.9\r\nHost: a\r\n\r\n";
    client.stream.write_all(both.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut all).await.unwrap();
    let all = String::from_utf8(all).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 ") && all.contains("HTTP/1.1 400 "), "{all}");
    assert_eq!(scene.seen().len(), 1);
}

/// More than the system keeps for a connection: it is still being written when the target has ended.
#[tokio::test]
async fn the_last_answer_of_a_connection_comes_whole() {
    const LENGTH: usize = 16 << 20;
    let body = "x".repeat(LENGTH);
    let backend = Backend::begin(Arc::new(move |_| ok(&body))).await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    client.stream.write_all(BOTH.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut all).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 ") && all.len() > LENGTH, "{} bytes", all.len());
}

#[tokio::test]
async fn bodies_that_are_none_get_400() {
    let scene = Scene::new(Desync::Defensive).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["zz\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n"] {
        let (answer, ends) = scene.send(&format!("{head}{body}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        let _ = ends;
    }
    assert_eq!(scene.seen(), Vec::<String>::new());
    // A client that goes early leaves no whole request behind.
    let mut client = scene.world.connect().await;
    let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    client.stream.write_all(half.as_bytes()).await.unwrap();
    drop(client);
    assert!(scene.world.get("/").await.contains("200"));
    assert_eq!(scene.seen().len(), 1);
}

#[tokio::test]
async fn clients_that_do_not_finish_get_408() {
    let mut scene = Scene::new(Desync::Defensive).await;
    scene.world.config.load_balancers[0].settings.idle = Duration::from_millis(300);
    scene.world.apply();
    let (answer, _) = scene.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    let (answer, _) = scene.send(half).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let mut silent = scene.world.connect().await;
    assert!(silent.is_closed().await);
    assert_eq!(scene.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_connection_ends_with_the_request_after_its_time() {
    let mut scene = Scene::new(Desync::Defensive).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (_, ends) = scene.send(request).await;
    assert!(!ends);
    scene.world.config.load_balancers[0].settings.client_life = Duration::ZERO;
    scene.world.apply();
    let (answer, ends) = scene.send(request).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && ends, "{answer}");
}
