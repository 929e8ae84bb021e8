//! A client of the tests' own: the plugin's side of the data channel over a plain socket, so that a
//! test decides when the connection goes and what is typed.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use agent_protocol::exec::{
    DataChannel, HandshakeRequest, HandshakeResponse, OWN_CLIENT, OpenDataChannel, Received, Side,
    Stamp, payload,
};
use bytes::Bytes;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::harness::PATIENCE;

/// How long one look at the socket waits.
const LOOK: Duration = Duration::from_millis(10);

/// The most bytes in one message: as the plugin has it, and as our own client has.
const TYPED_BYTES: usize = 1024;
const TYPED_BYTES_OWN: usize = 16 * 1024;

/// One session's client.
pub struct Client {
    socket: Option<WebSocket<TcpStream>>,
    data: DataChannel,
    began: Instant,
    /// How it names itself.
    version: &'static str,
    /// What came and was not looked at yet.
    pub seen: Vec<u8>,
    /// Whether the server said that the session is over.
    pub is_over: bool,
    /// The exit code, if one was told.
    pub code: Option<String>,
}

impl Client {
    /// Opens the session that ExecuteCommand answered.
    pub fn open(session: &Value, version: &'static str) -> Self {
        let mut client = Self {
            socket: None,
            data: DataChannel::new(Side::Client),
            began: Instant::now(),
            version,
            seen: Vec::new(),
            is_over: false,
            code: None,
        };
        client.connect(session);
        client
    }

    /// Opens the session again, on a connection of its own.
    pub fn connect(&mut self, session: &Value) {
        let find = |name: &str| {
            let lower = format!("{}{}", name[..1].to_lowercase(), &name[1..]);
            let value = session.get(name).or_else(|| session.get(&lower));
            value.and_then(Value::as_str).unwrap().to_owned()
        };
        let (url, token) = (find("StreamUrl"), find("TokenValue"));
        let host = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut socket, _) = tungstenite::client(url.as_str(), stream).unwrap();
        socket.get_ref().set_read_timeout(Some(LOOK)).unwrap();
        let open = OpenDataChannel {
            message_schema_version: "1.0".to_owned(),
            request_id: "5a1f9f0c-7f0f-4a3c-9a51-000000000001".to_owned(),
            token_value: token,
            client_id: "5a1f9f0c-7f0f-4a3c-9a51-000000000002".to_owned(),
            client_version: self.version.to_owned(),
        };
        socket.send(Message::text(serde_json::to_string(&open).unwrap())).unwrap();
        for frame in self.data.resend_all(self.began.elapsed()) {
            socket.send(Message::Binary(frame)).unwrap();
        }
        self.socket = Some(socket);
    }

    /// Cuts the connection, without a word.
    pub fn cut(&mut self) {
        let socket = self.socket.take().unwrap();
        socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Types, waiting for room.
    pub fn type_in(&mut self, bytes: &[u8]) {
        let is_own = self.version.starts_with(OWN_CLIENT);
        for part in bytes.chunks(if is_own { TYPED_BYTES_OWN } else { TYPED_BYTES }) {
            while !self.data.has_room() {
                assert!(self.step(), "the connection broke");
            }
            self.say(payload::OUTPUT, Bytes::copy_from_slice(part));
        }
    }

    /// Tells the terminal's size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = serde_json::json!({"cols": columns, "rows": rows});
        self.say(payload::SIZE, size.to_string().into());
    }

    fn say(&mut self, kind: u32, what: Bytes) {
        let frame = self.data.send(self.began.elapsed(), stamp(), kind, what);
        self.send(frame);
        // What came meanwhile is not left until it fills the socket.
        let _ = self.look(false);
    }

    fn send(&mut self, frame: impl IntoIterator<Item = Bytes>) {
        for frame in frame {
            if let Some(socket) = &mut self.socket {
                let _ = socket.send(Message::Binary(frame));
            }
        }
    }

    /// Reads until this text came; what stands before it is given, and both are taken away.
    pub fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = seen {
                let rest = self.seen.split_off(at + text.len());
                let mut before = std::mem::replace(&mut self.seen, rest);
                before.truncate(at);
                return String::from_utf8_lossy(&before).into_owned();
            }
            let alive = Instant::now() < end && self.step() && !self.is_over;
            assert!(alive, "no {text:?} in {:?}", String::from_utf8_lossy(&self.seen));
        }
    }

    /// Reads until the server says that the session is over.
    pub fn end(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.is_over {
            assert!(self.step() && Instant::now() < end, "the session does not end");
        }
    }

    /// One look at the socket; `false` once it broke.
    pub fn step(&mut self) -> bool {
        self.look(true)
    }

    fn look(&mut self, waits: bool) -> bool {
        let Some(socket) = &mut self.socket else { return false };
        if !waits {
            socket.get_ref().set_nonblocking(true).unwrap();
        }
        let read = socket.read();
        if !waits {
            socket.get_ref().set_nonblocking(false).unwrap();
        }
        match read {
            Ok(Message::Binary(frame)) => self.receive(&frame),
            Ok(Message::Close(_)) => return false,
            Ok(_) => {}
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
        let again = self.data.resend(self.began.elapsed());
        self.send(again);
        true
    }

    fn receive(&mut self, frame: &Bytes) {
        let given = self.data.receive(self.began.elapsed(), stamp(), frame, true).unwrap();
        self.send(given.answer);
        match given.received {
            Received::Messages(messages) => {
                for message in messages {
                    self.take(message.kind, &message.payload);
                }
            }
            Received::Closed(_) => self.is_over = true,
            Received::Started | Received::Paused => {}
        }
    }

    fn take(&mut self, kind: u32, bytes: &Bytes) {
        match kind {
            payload::OUTPUT => self.seen.extend_from_slice(bytes),
            payload::HANDSHAKE_REQUEST => {
                let request: HandshakeRequest = serde_json::from_slice(bytes).unwrap();
                let response = HandshakeResponse::success(self.version, &request);
                let response = serde_json::to_vec(&response).unwrap();
                self.say(payload::HANDSHAKE_RESPONSE, response.into());
            }
            payload::HANDSHAKE_COMPLETE => self.resize(120, 40),
            payload::EXIT_CODE => {
                self.code = Some(String::from_utf8(bytes.to_vec()).unwrap());
            }
            _ => panic!("a message of type {kind}"),
        }
    }
}

fn stamp() -> Stamp {
    Stamp { created_ms: 1, id: [1; 16] }
}
