//! One connection to a registry: requests one after the other, with bodies of any length that are never
//! in memory whole.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{MsgFlags, recv};
use sha2::{Digest, Sha256};

/// What is sent and read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A blob that is made while it is sent: its number, then the same piece again and again.
pub struct Content {
    number: u32,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest.
    pub digest: String,
}

impl Content {
    /// Another blob for each number.
    pub fn new(number: u32, size_bytes: u64) -> Self {
        let mut content = Self { number, size_bytes, digest: String::new() };
        let mut hasher = Sha256::new();
        // Writing into a hash cannot fail.
        let _ = content.each_piece(|piece| {
            hasher.update(piece);
            Ok(())
        });
        let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        content.digest = format!("sha256:{hex}");
        content
    }

    fn each_piece(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        // Of no use to who compresses: each byte depends on the one before.
        let mut piece = vec![0; PIECE_BYTES];
        let mut state = self.number.wrapping_mul(0x9E37_79B9) | 1;
        for byte in &mut piece {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        let mut left = self.size_bytes;
        while left > 0 {
            let count = left.min(PIECE_BYTES as u64);
            take(&piece[..count as usize])?;
            left -= count;
        }
        Ok(())
    }
}

/// What came back.
pub struct Told {
    /// The status.
    pub status: u16,
    /// The header `Location`.
    pub location: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Told {
    /// The body, for messages.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// Headers of an answer that matter here.
struct Head {
    status: u16,
    location: String,
    length: Option<u64>,
}

/// A connection.
pub struct Speech {
    stream: BufReader<TcpStream>,
    port: u16,
}

impl Speech {
    /// Connects to a port of this machine.
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(PIECE_BYTES, stream), port })
    }

    /// One request with a small answer.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Told> {
        self.begin(method, path, headers, body.len() as u64)?;
        self.stream.get_mut().write_all(body)?;
        let head = self.head()?;
        let mut body = Vec::new();
        self.body(&head, |piece| body.extend_from_slice(piece))?;
        Ok(Told { status: head.status, location: head.location, body })
    }

    /// Pushes a blob.
    pub fn push(&mut self, name: &str, blob: &Content) -> Result<()> {
        let begun = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), &[], &[])?;
        ensure!(begun.status == 202, "an upload: {}", begun.text());
        let path = match begun.location.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => &begun.location,
        };
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}digest={}", blob.digest);
        let headers = [("content-type", "application/octet-stream")];
        self.begin("PUT", &path, &headers, blob.size_bytes)?;
        let stream = self.stream.get_mut();
        blob.each_piece(|piece| Ok(stream.write_all(piece)?))?;
        let head = self.head()?;
        let mut body = Vec::new();
        self.body(&head, |piece| body.extend_from_slice(piece))?;
        ensure!(head.status == 201, "{path}: {} {}", head.status, String::from_utf8_lossy(&body));
        Ok(())
    }

    /// Pulls a blob, and lets its bytes go.
    pub fn pull(&mut self, name: &str, blob: &Content) -> Result<()> {
        let path = format!("/v2/{name}/blobs/{}", blob.digest);
        self.begin("GET", &path, &[], 0)?;
        let head = self.head()?;
        ensure!(head.status == 200, "{path}: {}", head.status);
        let length = head.length.with_context(|| format!("{path}: a blob without a length"))?;
        ensure!(length == blob.size_bytes, "{path}: {length} bytes");
        self.drop_exactly(length)
    }

    /// Lets so many bytes go that the system has or gets for this connection: without a copy, so that it is
    /// not the reader who is measured.
    fn drop_exactly(&mut self, mut left: u64) -> Result<()> {
        let here = self.stream.buffer().len();
        self.stream.consume(here);
        left = left.checked_sub(here as u64).context("more than the blob came")?;
        let mut room = vec![0; PIECE_BYTES];
        while left > 0 {
            let most = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let socket = self.stream.get_ref().as_raw_fd();
            let count = recv(socket, &mut room[..most], MsgFlags::MSG_TRUNC)?;
            ensure!(count > 0, "the answer broke off");
            left -= count as u64;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: u64,
    ) -> Result<()> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost:{}\r\n", self.port);
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {length}\r\n\r\n"));
        Ok(self.stream.get_mut().write_all(text.as_bytes())?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the registry hung up");
        Ok(line.trim_end().to_owned())
    }

    fn head(&mut self) -> Result<Head> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.with_context(|| format!("'{first}' is no answer"))?;
        let mut head = Head { status, location: String::new(), length: Some(0) };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            match name.to_ascii_lowercase().as_str() {
                "location" => head.location = value.trim().to_owned(),
                "content-length" => head.length = Some(value.trim().parse()?),
                "transfer-encoding" => head.length = None,
                _ => {}
            }
        }
    }

    /// Reads a body, of a length that was said or in chunks.
    fn body(&mut self, head: &Head, mut take: impl FnMut(&[u8])) -> Result<()> {
        if let Some(length) = head.length {
            return self.exactly(length, &mut take);
        }
        loop {
            let size = self.line()?;
            let size = size.split(';').next().unwrap_or_default().to_owned();
            let Ok(size) = u64::from_str_radix(&size, 16) else { bail!("'{size}' is no chunk") };
            self.exactly(size, &mut take)?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn exactly(&mut self, mut left: u64, take: &mut impl FnMut(&[u8])) -> Result<()> {
        while left > 0 {
            let piece = self.stream.fill_buf()?;
            ensure!(!piece.is_empty(), "the answer broke off");
            let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            take(&piece[..count]);
            self.stream.consume(count);
            left -= count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_different() {
        let (one, two) = (Content::new(1, 3_000_000), Content::new(2, 3_000_000));
        assert_ne!(one.digest, two.digest);
        assert_eq!(Content::new(1, 3_000_000).digest, one.digest);
        let mut length = 0;
        one.each_piece(|piece| {
            length += piece.len();
            Ok(())
        })
        .unwrap();
        assert_eq!(length, 3_000_000);
    }
}
