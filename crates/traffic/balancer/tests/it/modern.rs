//! A client of HTTP/2 that says frame for frame what a test wants, and the load balancer before it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use balancer::{CertificatePair, State, Verdict};
use http2::{Decoder, Fields, Frame, HEAD_LENGTH, Head, PREFACE, Read, Setting, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::secure::{connect, pair, shows};
use super::world::{Backend, PATIENCE, World, group};

/// What came of the load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An answer's head, or what comes behind its body.
    Headers {
        stream: u32,
        fields: BTreeMap<String, String>,
        is_last: bool,
    },
    Data {
        stream: u32,
        data: Vec<u8>,
        is_last: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    /// Settings, with the window that streams have at first.
    Settings {
        window: u32,
    },
    SettingsTaken,
    Ping([u8; 8]),
    Pong([u8; 8]),
    GoAway {
        last: u32,
        code: u32,
    },
    WindowUpdate {
        stream: u32,
        by: u32,
    },
    /// The connection ended.
    End,
}

pub const CANCEL: u32 = 8;

/// A client's connection.
pub struct Peer {
    pub stream: TlsStream<TcpStream>,
    held: Vec<u8>,
    decoder: Decoder,
    /// The last list of headers, as it came.
    pub block: Vec<u8>,
    /// What is sent with the next flush.
    out: Vec<u8>,
}

/// A load balancer that speaks HTTP/2 before these targets.
pub async fn world(backends: &[&Backend]) -> (World, CertificatePair) {
    let mut world = World::with(backends).await;
    let pair = pair("one", &["a.example.com"], false);
    world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
    world.apply();
    (world, pair)
}

/// A target that does with each connection what a test wants; it is healthy by somebody's word.
pub struct Target {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Target {
    pub async fn begin<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // What the system keeps for one that does not read is little then.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream));
            }
        });
        Self { address, serving }
    }

    /// One that answers each request with `first`, and with `rest` once there is a permit.
    pub async fn halting(first: &'static str, rest: &'static str) -> (Self, Arc<Semaphore>) {
        let may_go_on = Arc::new(Semaphore::new(0));
        let may = may_go_on.clone();
        let target = Self::begin(move |mut stream| {
            let may = may.clone();
            async move {
                while head(&mut stream).await.is_some() {
                    stream.write_all(first.as_bytes()).await.unwrap();
                    may.acquire().await.unwrap().forget();
                    stream.write_all(rest.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        (target, may_go_on)
    }

    /// A load balancer that speaks HTTP/2 before it.
    pub async fn world(&self) -> (World, CertificatePair) {
        let (id, port) = (self.address.ip().to_string(), self.address.port());
        let mut group = group("blue", &[]);
        group.targets.push(balancer::Target {
            id: id.clone(),
            port,
            address: self.address,
            registration: 1,
            draining: false,
        });
        group.verdicts = Some(vec![Verdict { id, port, state: State::Healthy }]);
        let mut world = World::new();
        world.config.groups.push(group);
        let pair = pair("one", &["a.example.com"], false);
        world.listener().tls = Some(shows(vec![pair.clone()], &["TLSv1.3"]));
        world.apply();
        world.settle("blue", |health| health.state == State::Healthy).await;
        (world, pair)
    }
}

/// A request's head, as a target reads it; what comes behind it is lost.
pub async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// A header as it is written out.
pub fn literal(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(0);
    for text in [name, value] {
        match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
            Some(length) => out.push(length),
            None => {
                out.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    out.push(128 | (rest % 128) as u8);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
        }
        out.extend_from_slice(text.as_bytes());
    }
}

/// A list of headers as it is written out.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    fields.iter().for_each(|(name, value)| literal(&mut block, name, value));
    block
}

/// A frame of any kind.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = Head { length, kind, flags, stream }.bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// What a request's list begins with.
pub fn line<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "https"), (":path", path), (":authority", "a.example.com")]
}

/// The frame that begins a request; without `is_last` its body follows.
pub fn request(stream: u32, fields: &[(&str, &str)], is_last: bool) -> Vec<u8> {
    frame(1, if is_last { 5 } else { 4 }, stream, &block(fields))
}

/// The frame of `GET path`.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    request(stream, &line("GET", path), true)
}

impl Peer {
    /// One that has said only what it must.
    pub async fn begin(world: &World, pair: &CertificatePair) -> Self {
        Self::with(world, pair, &[]).await
    }

    /// The same with these settings.
    pub async fn with(world: &World, pair: &CertificatePair, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::mute(world, pair).await;
        let mut hello = PREFACE.to_vec();
        write::settings(&mut hello, settings);
        peer.send(&hello).await;
        peer
    }

    /// One that has said nothing.
    pub async fn mute(world: &World, pair: &CertificatePair) -> Self {
        let stream = connect(world, &[pair], "a.example.com", &[b"h2"]).await.unwrap();
        let (held, block, out) = (Vec::new(), Vec::new(), Vec::new());
        Self { stream, held, decoder: Decoder::new(4096), block, out }
    }

    /// Sends bytes; whether the other end was still there.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Sends a frame that is written behind others.
    pub async fn say(&mut self, frame: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        frame(&mut out);
        let sent = self.send(&out).await;
        self.out = out;
        sent
    }

    /// What comes next.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.held() {
                return event;
            }
            let mut part = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut part)).await;
            match read.expect("something comes") {
                Ok(0) | Err(_) => return Event::End,
                Ok(length) => self.held.extend_from_slice(&part[..length]),
            }
        }
    }

    /// The first that comes of which this holds.
    pub async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if is_it(&event) {
                return event;
            }
            assert_ne!(event, Event::End, "it ends first");
        }
    }

    /// Returns when all that was sent until now has been handled.
    pub async fn settle(&mut self) -> Vec<Event> {
        const MARK: [u8; 8] = *b"settled?";
        self.say(|out| write::ping(out, MARK)).await;
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Event::Pong(MARK) => return before,
                Event::End => panic!("it ends first: {before:?}"),
                other => before.push(other),
            }
        }
    }

    /// The answer of a stream: its head, its body, and what comes behind it.
    pub async fn answer(
        &mut self,
        id: u32,
    ) -> (BTreeMap<String, String>, Vec<u8>, BTreeMap<String, String>) {
        let (mut head, mut body, mut trailers) = (None, Vec::new(), BTreeMap::new());
        loop {
            let is_over = match self.next().await {
                Event::Headers { stream, fields, is_last } if stream == id => {
                    match &head {
                        None => head = Some(fields),
                        Some(_) => trailers = fields,
                    }
                    is_last
                }
                Event::Data { stream, data, is_last } if stream == id => {
                    body.extend_from_slice(&data);
                    is_last
                }
                Event::Reset { stream, code } if stream == id => panic!("reset with {code}"),
                Event::End => panic!("it ends first"),
                _ => false,
            };
            if is_over {
                return (head.expect("the head comes first"), body, trailers);
            }
        }
    }

    /// How the connection ends: the code, if it is told one.
    pub async fn end(&mut self) -> Option<u32> {
        let mut told = None;
        loop {
            match self.next().await {
                Event::GoAway { code, .. } => told = Some(code),
                Event::End => return told,
                _ => {}
            }
        }
    }

    fn held(&mut self) -> Option<Event> {
        loop {
            let held = std::mem::take(&mut self.held);
            let (event, used) = match Frame::read(&held, write::LENGTH_MAX).unwrap() {
                Read::Partial(_) => {
                    self.held = held;
                    return None;
                }
                Read::Whole(frame, used) => (self.event(frame), used),
            };
            self.held = held[used..].to_vec();
            assert!(used >= HEAD_LENGTH);
            if event.is_some() {
                return event;
            }
        }
    }

    fn event(&mut self, frame: Frame<'_>) -> Option<Event> {
        Some(match frame {
            Frame::Data { stream, data, is_last, .. } => {
                Event::Data { stream, data: data.to_vec(), is_last }
            }
            Frame::Headers { stream, block, is_last, is_whole } => {
                assert!(is_whole, "answers are short here");
                self.block = block.to_vec();
                let mut fields = Fields::new(1 << 20);
                self.decoder.decode(&self.block, &mut fields).unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let fields = fields.iter().map(|(name, value)| (text(name), text(value)));
                Event::Headers { stream, fields: fields.collect(), is_last }
            }
            Frame::Reset { stream, code } => Event::Reset { stream, code },
            Frame::Settings(settings) => {
                let window = settings.iter().find_map(|one| match one {
                    Setting::InitialWindowSize(size) => Some(size),
                    _ => None,
                });
                Event::Settings { window: window.unwrap_or(65_535) }
            }
            Frame::SettingsTaken => Event::SettingsTaken,
            Frame::Ping(bytes) => Event::Ping(bytes),
            Frame::Pong(bytes) => Event::Pong(bytes),
            Frame::GoAway { last, code } => Event::GoAway { last, code },
            Frame::WindowUpdate { stream, by } => Event::WindowUpdate { stream, by },
            Frame::Ignored => return None,
            other => panic!("{other:?}"),
        })
    }
}
