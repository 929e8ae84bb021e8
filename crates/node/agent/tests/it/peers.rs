//! Layers from node to node: real stores, listeners and a registry on loopback, with the control
//! plane's tracker between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent::{Exchange, PeerSettings};
use agent_protocol::layers::{HeldLayer, LayerFrom, LayerPeer, PeerTrouble, PeersKnown};
use agent_protocol::node::{AgentMessage, ServerMessage};
use blobs::{Digest, Durability};
use parking_lot::Mutex;
use peering::{Answer, Ending, LayerKey, Source, TicketKey, Tracker, Trouble, Want};
use runtime::Images;
use runtime::images::{ImageReference, ImageStore, Progress, RegistryAuth, RetryPolicy, Settings};
use tempfile::TempDir;
use terms::{Clock, TaskArn, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::registry::{Made, Registry};

/// A clock that stands.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_226_828_000)
    }
}

/// The control plane's part: whom it knows, and what it was told.
#[derive(Default)]
struct Plane {
    tracker: Tracker<usize>,
    serving: BTreeMap<usize, (String, String, TicketKey)>,
    channels: BTreeMap<usize, Exchange>,
    troubles: Vec<PeerTrouble>,
}

fn key(layer: &HeldLayer) -> LayerKey {
    LayerKey { repository: layer.repository.as_str().into(), digest: layer.digest.as_str().into() }
}

impl Plane {
    fn hear(&mut self, node: usize, message: AgentMessage) {
        let now = Still.now();
        let answers = match message {
            AgentMessage::PeerServing(told) => {
                let ticket_key = TicketKey::of_text(&told.key).unwrap();
                self.serving.insert(node, (told.url, told.name, ticket_key));
                self.tracker.joined(&node);
                self.channels[&node].heard(PeersKnown {}.into());
                Vec::new()
            }
            AgentMessage::LayersHeld(told) => {
                self.tracker.held(&node, told.layers.iter().map(key), now)
            }
            AgentMessage::LayerWanted(told) => {
                let avoid = told.avoid.iter().map(|id| id.parse().unwrap()).collect();
                let want = Want { request: told.request_id, size_bytes: told.size_bytes, avoid };
                self.tracker.wanted(&node, key(&told.layer), want, now)
            }
            AgentMessage::LayerEnded(told) => {
                self.troubles.extend(told.trouble);
                let trouble = told.trouble.map(|trouble| match trouble {
                    PeerTrouble::Gone => Trouble::Gone,
                    PeerTrouble::Unreachable => Trouble::Unreachable,
                    PeerTrouble::Slow => Trouble::Slow,
                    PeerTrouble::Corrupt => Trouble::Corrupt,
                });
                let ending = if told.is_here { Ending::Here } else { Ending::Failed(trouble) };
                self.tracker.ended(&node, &key(&told.layer), ending, now)
            }
            other => panic!("{other:?}"),
        };
        self.answer(answers);
    }

    fn answer(&mut self, answers: Vec<Answer<usize>>) {
        for answer in answers {
            let peer = match answer.source {
                Source::Registry => None,
                Source::Peer(peer) => Some(self.peer(answer.node, peer, &answer.layer.digest)),
            };
            let told = LayerFrom { request_id: answer.request, peer };
            if let Some(channel) = self.channels.get(&answer.node) {
                channel.heard(ServerMessage::from(told));
            }
        }
    }

    fn peer(&self, bearer: usize, peer: usize, digest: &str) -> LayerPeer {
        let (url, name, ticket_key) = &self.serving[&peer];
        let until = Still.now() + Duration::from_secs(60);
        let ticket = ticket_key.write(digest, &format!("node-{bearer}"), until);
        LayerPeer { id: peer.to_string(), name: name.clone(), url: url.clone(), ticket }
    }
}

/// A control plane, a registry, and nodes that come.
struct World {
    plane: Arc<Mutex<Plane>>,
    registry: Registry,
    end: CancellationToken,
}

struct Node {
    folder: TempDir,
    store: ImageStore,
    exchange: Exchange,
}

impl Drop for World {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn task(number: usize) -> TaskArn {
    format!("arn:aws:ecs:us-east-1:000000000000:task/default/{number:032x}").parse().unwrap()
}

impl World {
    async fn start(image: &Made) -> Self {
        let registry = Registry::start("team/app", image).await;
        Self { plane: Arc::default(), registry, end: CancellationToken::new() }
    }

    async fn node(&self, number: usize) -> Node {
        let settings = PeerSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            address: None,
            name: format!("node-{number}"),
            key: [u8::try_from(number).unwrap(); 32],
            tls: None,
            bytes_per_second: 1 << 30,
            clock: Arc::new(Still),
        };
        let exchange = Exchange::open(settings).await.unwrap();
        let folder = TempDir::new().unwrap();
        let wait = Duration::from_millis(1);
        let settings = Settings {
            retry: RetryPolicy { tries_max: 3, first_wait: wait, longest_wait: wait, jitter: 0.0 },
            durability: Durability::Relaxed,
            peers: Some(Arc::new(exchange.clone())),
            ..Settings::default()
        };
        let store = ImageStore::open(folder.path(), settings).unwrap();
        tokio::spawn(exchange.clone().serve(Arc::new(store.clone()), self.end.clone()));
        self.plane.lock().channels.insert(number, exchange.clone());
        let (plane, channel, end) = (Arc::clone(&self.plane), exchange.clone(), self.end.clone());
        exchange.opened();
        tokio::spawn(end.run_until_cancelled_owned(async move {
            loop {
                let message = channel.outgoing().await;
                plane.lock().hear(number, message);
            }
        }));
        Node { folder, store, exchange }
    }

    fn reference(&self) -> ImageReference {
        format!("{}/team/app:v1", self.registry.address).parse().unwrap()
    }

    /// Pulls on a node for one of its tasks.
    async fn pull(&self, node: &Node) {
        let reference = self.reference();
        let _seeking = node.exchange.seeking(&reference, &task(1));
        let pulled = node.store.pull(&reference, &RegistryAuth::Anonymous, Progress::silent());
        pulled.await.unwrap();
    }

    /// Lets others work until it is so.
    async fn until(&self, is_so: impl Fn(&Plane) -> bool) {
        while !is_so(&self.plane.lock()) {
            tokio::task::yield_now().await;
        }
    }

    fn layer(&self, digest: &Digest) -> LayerKey {
        let repository = format!("{}/team/app", self.registry.address);
        LayerKey { repository: repository.into(), digest: digest.to_string().into() }
    }

    /// A peer that is none of ours, known to have the layer.
    fn stranger(&self, number: usize, url: String, digest: &Digest) {
        let mut plane = self.plane.lock();
        let name = format!("node-{number}");
        plane.serving.insert(number, (url, name, TicketKey::new([0; 32])));
        plane.tracker.joined(&number);
        let layer = self.layer(digest);
        plane.tracker.held(&number, [layer], Still.now());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_nodes_fetch_each_layer_from_the_registry_three_times_at_most() {
    let image = Made::of_layers(&[200_000, 3_000_000, 10]);
    let world = Arc::new(World::start(&image).await);
    let mut pulls = tokio::task::JoinSet::new();
    for number in 0..50 {
        let world = Arc::clone(&world);
        pulls.spawn(async move {
            let node = world.node(number).await;
            world.pull(&node).await;
            node
        });
    }
    let nodes = pulls.join_all().await;
    for layer in &image.layers {
        let count = world.registry.blobs(layer);
        assert!((1..=3).contains(&count), "{count}");
    }
    // Each asked the registry itself whether it may have the image.
    assert_eq!((world.registry.manifests(), nodes.len()), (50, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_lost_or_spoiled_comes_from_the_registry() {
    let image = Made::of_layers(&[300_000]);
    let world = World::start(&image).await;
    let (first, second) = (world.node(0).await, world.node(1).await);
    world.pull(&first).await;
    let layer = &image.layers[0];
    let digest = Digest::of(layer);
    world.until(|plane| plane.tracker.holders(&world.layer(&digest)) == 1).await;
    // Its disk lies.
    let blob = first.folder.path().join("blobs/sha256").join(digest.hex());
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[200_000] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    world.pull(&second).await;
    assert_eq!(world.registry.blobs(layer), 2);
    assert_eq!(world.plane.lock().troubles, [PeerTrouble::Corrupt]);
    let kept = second.folder.path().join("blobs/sha256").join(digest.hex());
    assert_eq!(std::fs::read(kept).unwrap(), *layer);
    // It has it no more; the second has, and hands it out.
    std::fs::remove_file(&blob).unwrap();
    world.until(|plane| plane.tracker.holders(&world.layer(&digest)) == 2).await;
    let (third, fourth) = (world.node(2).await, world.node(3).await);
    world.pull(&third).await;
    world.pull(&fourth).await;
    assert_eq!(world.registry.blobs(layer), 2);
}

/// How a peer that is none of ours answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nobody listens.
    Dead,
    /// It sends half of the layer and goes.
    Half,
    /// It sends more than there is.
    TooMuch,
    /// It takes the request and says nothing.
    Silent,
    /// It says that it was not asked well.
    Refuses,
}

/// Where it is.
async fn faulty(fault: Fault, layer: Vec<u8>) -> String {
    if fault == Fault::Dead {
        // Bound, so that nobody else gets the port, and deaf.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(socket);
        });
        return url;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let layer = layer.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let length = layer.len();
                let (head, body) = match fault {
                    Fault::Silent | Fault::Dead => return std::future::pending().await,
                    Fault::Refuses => ("403 x\r\nContent-Length: 0".to_owned(), &[][..]),
                    Fault::Half => {
                        (format!("200 x\r\nContent-Length: {length}"), &layer[..length / 2])
                    }
                    Fault::TooMuch => ("200 x\r\nConnection: close".to_owned(), &layer[..]),
                };
                let answer = format!("HTTP/1.1 {head}\r\n\r\n");
                _ = stream.write_all(answer.as_bytes()).await;
                _ = stream.write_all(body).await;
                if fault == Fault::TooMuch {
                    _ = stream.write_all(b"and more").await;
                }
                _ = stream.shutdown().await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_fails_is_left_for_the_registry() {
    let check = async |fault: Fault, expected: PeerTrouble| {
        let image = Made::of_layers(&[400_000]);
        let world = World::start(&image).await;
        let layer = &image.layers[0];
        let url = faulty(fault, layer.clone()).await;
        world.stranger(9, url, &Digest::of(layer));
        let node = world.node(1).await;
        world.pull(&node).await;
        assert_eq!(world.registry.blobs(layer), 1, "{fault:?}");
        assert_eq!(world.plane.lock().troubles, [expected], "{fault:?}");
        let kept = node.folder.path().join("blobs/sha256").join(Digest::of(layer).hex());
        assert_eq!(std::fs::read(kept).unwrap(), *layer, "{fault:?}");
    };
    tokio::join!(
        check(Fault::Dead, PeerTrouble::Unreachable),
        check(Fault::Half, PeerTrouble::Unreachable),
        check(Fault::TooMuch, PeerTrouble::Corrupt),
        check(Fault::Silent, PeerTrouble::Slow),
        check(Fault::Refuses, PeerTrouble::Unreachable),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_peer_sent_is_gone_on_with_at_another() {
    let image = Made::of_layers(&[400_000]);
    let world = World::start(&image).await;
    let layer = &image.layers[0];
    let first = world.node(1).await;
    world.pull(&first).await;
    let digest = Digest::of(layer);
    world.until(|plane| plane.tracker.holders(&world.layer(&digest)) == 1).await;
    // Its number is lower: it is asked first.
    let url = faulty(Fault::Half, layer.clone()).await;
    world.stranger(0, url, &digest);
    let second = world.node(2).await;
    world.pull(&second).await;
    assert_eq!(world.registry.blobs(layer), 1, "the rest came from the first");
    assert_eq!(world.plane.lock().troubles, [PeerTrouble::Unreachable]);
}

/// What a node's listener answers.
async fn ask(node: &Node, path: &str, headers: &str) -> (u16, Vec<u8>) {
    let at = node.exchange.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(head))
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_handed_to_who_has_a_ticket() {
    let image = Made::of_layers(&[300_000]);
    let world = World::start(&image).await;
    let node = world.node(1).await;
    world.pull(&node).await;
    let (layer, config) = (&image.layers[0], Digest::of(&image.config).to_string());
    let digest = Digest::of(layer).to_string();
    let path = format!("/layers/{digest}");
    let until = Still.now() + Duration::from_secs(60);
    let ticket = |number: u8, digest: &str, until| {
        let ticket = TicketKey::new([number; 32]).write(digest, "node-2", until);
        format!("Authorization: Bearer {ticket}\r\n")
    };
    let good = ticket(1, &digest, until);
    assert_eq!(ask(&node, &path, &good).await, (200, layer.clone()));
    let part = format!("{good}Range: bytes=299990-\r\n");
    assert_eq!(ask(&node, &path, &part).await, (206, layer[299_990..].to_vec()));
    let beyond = format!("{good}Range: bytes={}-\r\n", layer.len());
    assert_eq!(ask(&node, &path, &beyond).await.0, 416);
    for (path, headers, status) in [
        (path.clone(), String::new(), 403),
        (path.clone(), "Authorization: Bearer x\r\n".to_owned(), 403),
        (path.clone(), ticket(2, &digest, until), 403),
        (path.clone(), ticket(1, &digest, Still.now() - Duration::from_secs(1)), 403),
        (format!("/layers/{config}"), good.clone(), 403),
        ("/".to_owned(), good.clone(), 404),
        ("/layers/../../etc/passwd".to_owned(), ticket(1, "../../etc/passwd", until), 404),
    ] {
        assert_eq!(ask(&node, &path, &headers).await.0, status, "{path} {headers}");
    }
}
