//! TLS with several certificates, HTTP/2 and gRPC, on both sides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use balancer::{CertificatePair, KeyPem, Speaks, State, Tls};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::{Backend, Reply, World, forward, group};

const CIPHERS: [&str; 5] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES128-SHA",
];

/// A certificate for these names that trusts itself.
pub fn pair(name: &str, names: &[&str], wide: bool) -> CertificatePair {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = match wide {
        true => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        false => KeyPair::generate().unwrap(),
    };
    let chain = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    CertificatePair { name: name.to_owned(), chain, key: KeyPem::new(key.serialize_pem()) }
}

pub fn shows(certificates: Vec<CertificatePair>, protocols: &[&str]) -> Tls {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Tls { certificates, protocols: texts(protocols), ciphers: texts(&CIPHERS) }
}

fn der(pair: &CertificatePair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap()
}

/// A connection that trusts these certificates.
pub async fn connect(
    world: &World,
    trusted: &[&CertificatePair],
    name: &str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(der(pair)).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(rustls::DEFAULT_VERSIONS).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let stream = TcpStream::connect(world.address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Which certificate a client gets that asks for `name`.
async fn shown(world: &World, all: &[&CertificatePair], name: &str) -> String {
    let stream = connect(world, all, name, &[]).await.unwrap();
    let got = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    all.iter().find(|pair| der(pair) == got).unwrap().name.clone()
}

pub type Client2 = http2::SendRequest<Full<Bytes>>;

pub async fn http2_client(world: &World, pair: &CertificatePair) -> Client2 {
    let stream = connect(world, &[pair], "a.example.com", &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let builder = http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub async fn body(response: Response<Incoming>) -> (String, HeaderMap) {
    let whole = response.into_body().collect().await.unwrap();
    let trailers = whole.trailers().cloned().unwrap_or_default();
    (String::from_utf8(whole.to_bytes().to_vec()).unwrap(), trailers)
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://a.example.com{path}");
    Request::builder().uri(uri).body(Full::default()).unwrap()
}

/// A target that speaks HTTP/2 and answers with what it was sent and, if it is asked so, trailers.
pub struct Modern {
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Modern {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Modern {
    pub async fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let service = service_fn(echo);
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, serving }
    }

    pub fn group(&self, speaks: Speaks, codes: (u16, u16)) -> balancer::Group {
        let mut group = group("blue", &[]);
        group.targets.push(balancer::Target {
            id: self.address.ip().to_string(),
            port: self.address.port(),
            address: self.address,
            registration: 1,
            draining: false,
        });
        group.speaks = speaks;
        group.check.speaks = speaks;
        group.check.codes = vec![codes];
        group
    }
}

type Parts =
    StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, hyper::Error>>>>;

async fn echo(request: Request<Incoming>) -> Result<Response<Parts>, hyper::Error> {
    let (head, body) = request.into_parts();
    let sent = body.collect().await?.to_bytes();
    let mut told = format!("{} {}\n", head.method, head.uri);
    for (name, value) in &head.headers {
        told.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or_default()));
    }
    told.push_str(&String::from_utf8_lossy(&sent));
    let mut trailers = HeaderMap::new();
    let is_check = head.uri.path() == "/AWS.ALB/healthcheck";
    trailers.insert("grpc-status", if is_check { "12" } else { "0" }.parse().unwrap());
    let frames = vec![Ok(Frame::data(Bytes::from(told))), Ok(Frame::trailers(trailers))];
    Ok(Response::new(StreamBody::new(futures_util::stream::iter(frames))))
}

#[tokio::test]
async fn each_client_gets_the_certificate_that_fits_best() {
    let backend = Backend::echo().await;
    let mut world = World::with(&[&backend]).await;
    let usual = pair("usual", &["usual.example.com"], false);
    let exact = pair("exact", &["shop.example.com"], false);
    let wide = pair("wide", &["*.example.com"], true);
    let all = [&usual, &exact, &wide];
    let given = all.iter().map(|pair| (*pair).clone()).collect();
    world.listener().tls = Some(shows(given, &["TLSv1.2", "TLSv1.3"]));
    world.apply();
    assert_eq!(shown(&world, &all, "usual.example.com").await, "wide", "the longest key wins");
    assert_eq!(shown(&world, &all, "other.example.com").await, "wide");
    let given = vec![usual.clone(), exact.clone()];
    world.listener().tls = Some(shows(given, &["TLSv1.3"]));
    world.apply();
    assert_eq!(shown(&world, &all, "shop.example.com").await, "exact");
    let stranger = connect(&world, &all, "a.b.example.com", &[]).await;
    assert!(stranger.is_err(), "the usual one, which is not for the name: {stranger:?}");
}

#[tokio::test]
async fn a_policy_s_versions_are_kept() {
    let backend = Backend::echo().await;
    let mut world = World::with(&[&backend]).await;
    let pair = pair("one", &["a.example.com"], false);
    for (versions, agreed) in [
        (&["TLSv1", "TLSv1.1", "TLSv1.2"][..], ProtocolVersion::TLSv1_2),
        (&["TLSv1.2", "TLSv1.3"][..], ProtocolVersion::TLSv1_3),
    ] {
        world.listener().tls = Some(shows(vec![pair.clone()], versions));
        world.apply();
        let stream = connect(&world, &[&pair], "a.example.com", &[]).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(agreed));
    }
}

#[tokio::test]
async fn targets_are_told_that_clients_came_with_tls() {
    let backend = Backend::echo().await;
    let mut world = World::with(&[&backend]).await;
    let pair = pair("one", &["a.example.com"], false);
    world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
    world.config.load_balancers[0].settings.tells_tls = true;
    world.apply();
    let stream = connect(&world, &[&pair], "a.example.com", &[b"http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/x").header("host", "a.example.com");
    let request = request.header("x-amzn-tls-version", "SSLv2").body(Full::<Bytes>::default());
    let (told, _) = body(sender.send_request(request.unwrap()).await.unwrap()).await;
    for line in
        ["x-forwarded-proto: https", "x-amzn-tls-version: tlsv1.3", "x-amzn-tls-cipher-suite: tls_"]
    {
        assert!(told.to_ascii_lowercase().contains(line), "{line}: {told}");
    }
    assert!(!told.contains("SSLv2"), "{told}");
}

#[tokio::test]
async fn http2_from_clients_becomes_http1_for_targets() {
    let backend = Backend::echo().await;
    let mut world = World::with(&[&backend]).await;
    let pair = pair("one", &["a.example.com"], false);
    world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
    world.apply();
    let client = http2_client(&world, &pair).await;
    let many = (0..50).map(|number| {
        let mut client = client.clone();
        async move {
            let mut request = get(&format!("/{number}?q"));
            request.headers_mut().append("cookie", "a=1".parse().unwrap());
            request.headers_mut().append("cookie", "b=2".parse().unwrap());
            let (told, _) = body(client.send_request(request).await.unwrap()).await;
            assert!(told.starts_with(&format!("GET /{number}?q HTTP/1.1\r\n")), "{told}");
            assert!(told.contains("Host: a.example.com") && told.contains("a=1; b=2"), "{told}");
        }
    });
    futures_util::future::join_all(many).await;
    world.config.load_balancers[0].settings.http2 = false;
    world.apply();
    let offered: [&[u8]; 2] = [b"h2", b"http/1.1"];
    let stream = connect(&world, &[&pair], "a.example.com", &offered).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn an_idle_connection_of_http2_ends() {
    let backend = Backend::echo().await;
    let mut world = World::with(&[&backend]).await;
    let pair = pair("one", &["a.example.com"], false);
    world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
    world.config.load_balancers[0].settings.idle = Duration::from_millis(100);
    world.apply();
    let mut client = http2_client(&world, &pair).await;
    // Ends once the other end has said goodbye.
    while client.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(client.is_closed());
}

#[tokio::test]
async fn grpc_goes_through_with_its_trailers() {
    let target = Modern::begin().await;
    let mut world = World::new();
    let pair = pair("one", &["a.example.com"], false);
    let mut group = target.group(Speaks::Grpc, (12, 12));
    group.check.path = "/AWS.ALB/healthcheck".to_owned();
    world.config.groups.push(group);
    world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
    world.apply();
    world.settle("blue", |health| health.state == State::Healthy).await;
    let mut client = http2_client(&world, &pair).await;
    let request = Request::post("https://a.example.com/shop.Cart/Add")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = request.body(Full::from("\0\0\0\0\x02hi")).unwrap();
    let (told, trailers) = body(client.send_request(request).await.unwrap()).await;
    let port = world.address.port();
    let line = format!("POST http://a.example.com:{port}/shop.Cart/Add\n");
    assert!(told.starts_with(&line), "{told}");
    assert!(told.contains("te: trailers\n") && told.ends_with("hi"), "{told}");
    assert_eq!(trailers["grpc-status"], "0");
    let refused = client.send_request(get("/")).await.unwrap();
    assert_eq!(refused.status().as_u16(), 464, "only POST is for a group of gRPC");
    world.listener().default = forward(&[("nobody", 1)]);
    world.apply();
    let request = Request::post("https://a.example.com/shop.Cart/Add")
        .header("content-type", "application/grpc+proto");
    let request = request.body(Full::default()).unwrap();
    let refused = client.send_request(request).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["grpc-status"]),
        (503, &"14".parse().unwrap())
    );
    assert_eq!(refused.headers()["content-type"], "application/grpc");
    assert_eq!(body(refused).await.0, "", "a client of gRPC would stumble over a page");
}

#[tokio::test]
async fn groups_of_http2_take_http2_alone() {
    let target = Modern::begin().await;
    let mut world = World::new();
    let pair = pair("one", &["a.example.com"], false);
    world.config.groups.push(target.group(Speaks::Http2, (200, 200)));
    world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
    world.apply();
    world.settle("blue", |health| health.state == State::Healthy).await;
    let mut client = http2_client(&world, &pair).await;
    let (told, _) = body(client.send_request(get("/x")).await.unwrap()).await;
    let line = format!("GET http://a.example.com:{}/x\n", world.address.port());
    assert!(told.starts_with(&line), "{told}");
    let stream = connect(&world, &[&pair], "a.example.com", &[b"http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "a").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), 464);
}

#[tokio::test]
async fn answers_of_http1_go_to_clients_of_http2_as_they_end() {
    let certificate = pair("a", &["a.example.com"], false);
    let large = "abcdefgh".repeat(64 * 1024);
    let length = large.len();
    for (said, stays, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_owned(), true, Some("hi".to_owned())),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{large}"),
            true,
            Some(large.clone()),
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n80000\r\n{large}\r\n0\r\n\r\n"
            ),
            true,
            Some(format!("abc{large}")),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nopen".to_owned(), false, Some("open".to_owned())),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), true, Some(String::new())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_owned(), false, None),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort".to_owned(), false, None),
    ] {
        let answer = said.clone();
        let backend = Backend::begin(Arc::new(move |_| match stays {
            true => Reply::Bytes(answer.clone()),
            false => Reply::Last(answer.clone()),
        }))
        .await;
        let mut world = World::with(&[&backend]).await;
        world.listener().tls = Some(shows(vec![certificate.clone()], &["TLSv1.3"]));
        world.apply();
        let mut client = http2_client(&world, &certificate).await;
        for _ in 0..2 {
            let whole = async {
                let answer = client.send_request(get("/")).await.ok()?;
                assert!(answer.status().is_success());
                answer.into_body().collect().await.ok().map(|whole| whole.to_bytes())
            };
            let whole = whole.await;
            assert!(whole == expected.clone().map(Bytes::from), "{:.80}", said);
        }
        let connections = backend.connections.load(Ordering::SeqCst);
        assert_eq!(connections, if stays { 1 } else { 2 }, "{said:.80}");
    }
}

#[tokio::test]
async fn requests_of_http2_that_get_no_answer_get_a_page() {
    let certificate = pair("a", &["a.example.com"], false);
    for (said, status) in
        [(Some(String::new()), 502), (Some("nonsense\r\n\r\n".to_owned()), 502), (None, 504)]
    {
        let backend = Backend::begin(Arc::new(move |_| match &said {
            Some(said) => Reply::Last(said.clone()),
            None => Reply::Silence,
        }))
        .await;
        let mut world = World::with(&[&backend]).await;
        world.config.load_balancers[0].settings.idle = Duration::from_secs(2);
        world.listener().tls = Some(shows(vec![certificate.clone()], &["TLSv1.3"]));
        world.apply();
        let mut client = http2_client(&world, &certificate).await;
        let answer = client.send_request(get("/")).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
}
