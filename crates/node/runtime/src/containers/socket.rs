//! A connection to one shim.

use std::io;

use shim::{Call, MESSAGE_BYTES_MAX, Message, PROTOCOL_VERSION, Request, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Reads and writes messages. [`Socket::receive`] may be dropped at any point and called again.
pub(super) struct Socket {
    stream: UnixStream,
    received: Vec<u8>,
    next_id: u64,
}

impl Socket {
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(stream)?, received: Vec::new(), next_id: 0 })
    }

    /// Sends a call; its response will carry the number that this answers.
    pub(super) async fn send(&mut self, call: Call) -> io::Result<u64> {
        self.next_id += 1;
        let request = Request { version: PROTOCOL_VERSION, id: self.next_id, call };
        self.stream.write_all(&encode(&request)?).await?;
        Ok(self.next_id)
    }

    /// The next message; none when the shim has ended.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<Message>> {
        let Some(length) = self.received.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an over-long message"));
        }
        let Some(bytes) = self.received.get(4..4 + length) else { return Ok(None) };
        let message = serde_json::from_slice(bytes)?;
        self.received.drain(..4 + length);
        Ok(Some(message))
    }
}
