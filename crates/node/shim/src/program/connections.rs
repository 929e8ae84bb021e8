//! The runtimes that are connected: usually one, none while the agent is away.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::poll::{PollFd, PollFlags};
use shim::{
    CONNECTIONS_MAX, Exit, MESSAGE_BYTES_MAX, Message, PROTOCOL_VERSION, Reply, Request, encode,
};

/// How much may wait for a runtime that does not read, before it is dropped.
const UNSENT_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

struct Connection {
    id: u64,
    stream: UnixStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    closed: bool,
}

pub(crate) struct Connections {
    listener: UnixListener,
    open: Vec<Connection>,
    next_id: u64,
}

impl Connections {
    pub(crate) fn new(listener: UnixListener) -> Self {
        Self { listener, open: Vec::new(), next_id: 0 }
    }

    /// Adds what is to be watched.
    pub(crate) fn watch<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if self.open.len() < CONNECTIONS_MAX {
            fds.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        for connection in &self.open {
            let mut wanted = PollFlags::POLLIN;
            if !connection.unsent.is_empty() {
                wanted |= PollFlags::POLLOUT;
            }
            fds.push(PollFd::new(connection.stream.as_fd(), wanted));
        }
    }

    /// Takes in what has come: the requests, each with its connection.
    pub(crate) fn serve(&mut self) -> Vec<(u64, Request)> {
        self.accept();
        let mut requests = Vec::new();
        for connection in &mut self.open {
            connection.receive();
            connection.send();
            while let Some(request) = connection.next_request() {
                requests.push((connection.id, request));
            }
        }
        self.open.retain(|connection| !connection.closed);
        requests
    }

    fn accept(&mut self) {
        while self.open.len() < CONNECTIONS_MAX {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.next_id += 1;
            self.open.push(Connection {
                id: self.next_id,
                stream,
                received: Vec::new(),
                unsent: Vec::new(),
                closed: false,
            });
        }
    }

    /// Answers a request, if who asked is still there.
    pub(crate) fn reply(&mut self, connection: u64, id: u64, reply: Reply) {
        if let Some(found) = self.open.iter_mut().find(|c| c.id == connection) {
            found.push(&Message::Response { id, reply });
        }
    }

    /// Tells everyone that the container has ended.
    pub(crate) fn announce(&mut self, exit: &Exit) {
        self.accept();
        for connection in &mut self.open {
            connection.push(&Message::Exited(exit.clone()));
        }
    }

    /// Hands over what is unsent. Who does not take it finds the same on disk.
    pub(crate) fn close(self) {
        for mut connection in self.open {
            if connection.stream.set_nonblocking(false).is_ok() {
                let _ =
                    connection.stream.set_write_timeout(Some(std::time::Duration::from_secs(1)));
                let _ = connection.stream.write_all(&connection.unsent);
            }
        }
    }
}

impl Connection {
    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    if self.received.len() <= MESSAGE_BYTES_MAX + 4 {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.closed = true,
            }
            return;
        }
    }

    /// The next whole request. One of another version or form ends the connection.
    fn next_request(&mut self) -> Option<Request> {
        let length = u32::from_be_bytes(self.received.get(..4)?.try_into().ok()?) as usize;
        if length > MESSAGE_BYTES_MAX {
            self.closed = true;
            return None;
        }
        let request = serde_json::from_slice::<Request>(self.received.get(4..4 + length)?);
        self.received.drain(..4 + length);
        if self.received.is_empty() {
            self.received = Vec::new();
        }
        match request {
            Ok(request) if request.version == PROTOCOL_VERSION => Some(request),
            Ok(request) => {
                let text = format!(
                    "protocol version {} is not spoken here, only {PROTOCOL_VERSION}",
                    request.version
                );
                self.push(&Message::Response { id: request.id, reply: Reply::Failed(text) });
                None
            }
            Err(_) => {
                self.closed = true;
                None
            }
        }
    }

    fn push(&mut self, message: &Message) {
        match encode(message) {
            Ok(bytes) if self.unsent.len() + bytes.len() <= UNSENT_BYTES_MAX => {
                self.unsent.extend_from_slice(&bytes);
                self.send();
            }
            _ => self.closed = true,
        }
    }

    fn send(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => self.closed = true,
                Ok(count) => {
                    self.unsent.drain(..count);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.closed = true,
            }
            return;
        }
        self.unsent = Vec::new();
    }
}
