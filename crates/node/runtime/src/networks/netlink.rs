//! A small part of netlink: requests that are answered by an acknowledgement, several in one call.
//!
//! Written out here because both the route and the firewall side need little of it, and because an
//! acknowledged batch in one system call is what keeps publishing a port under a millisecond.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

const NLMSG_ERROR: u16 = 2;
pub(super) const NLM_F_REQUEST: u16 = 0x1;
pub(super) const NLM_F_ACK: u16 = 0x4;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;
const NLA_F_NESTED: u16 = 0x8000;

const HEADER_BYTES: usize = 16;
/// Room for a batch's acknowledgements, each of which quotes its request's header.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The kernel answers at once; this ends a wait for an answer that was dropped.
const ANSWER_SECONDS_MAX: i64 = 10;

/// Which part of the kernel is spoken to.
#[derive(Clone, Copy)]
pub(super) enum Family {
    Route,
    Firewall,
}

/// One request.
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of a kind, with the fixed part that belongs to it.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self { bytes }
    }

    /// Adds an attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// Adds an attribute that is a text with its closing zero.
    pub(super) fn with_text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.with(kind, &bytes)
    }

    /// Adds an attribute made of others, which `fill` adds, after the fixed part `head`.
    pub(super) fn with_nested(
        mut self,
        kind: u16,
        head: &[u8],
        fill: impl FnOnce(Self) -> Self,
    ) -> Self {
        let start = self.bytes.len();
        self.push(kind | NLA_F_NESTED, head);
        let mut filled = fill(self);
        let length = (filled.bytes.len() - start) as u16;
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + 4) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn wants_answer(&self) -> bool {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) & NLM_F_ACK != 0
    }

    fn seal(&mut self, sequence: u32) {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }
}

/// A connection to the kernel. It belongs for ever to the network namespace it was opened in.
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn open(family: Family) -> io::Result<Self> {
        let protocol = match family {
            Family::Route => SockProtocol::NetlinkRoute,
            Family::Firewall => SockProtocol::NetlinkNetFilter,
        };
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_SECONDS_MAX, 0))?;
        Ok(Self(fd))
    }

    /// Sends the requests in one piece and waits for the answers of those that want one.
    ///
    /// # Errors
    /// Fails with the first refusal. Firewall batches are then undone by the kernel as a whole;
    /// route requests before the refused one stay.
    pub(super) fn request(&self, mut messages: Vec<Message>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (sequence, message) in (1..).zip(&mut messages) {
            message.seal(sequence);
            bytes.extend_from_slice(&message.bytes);
        }
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
        self.await_answers(messages.iter().filter(|message| message.wants_answer()).count())
    }

    fn await_answers(&self, mut awaited: usize) -> io::Result<()> {
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        let mut first_error = None;
        while awaited > 0 {
            let count = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => other?,
            };
            let mut rest = &buffer[..count];
            while let Some((kind, body, next)) = split(rest) {
                rest = next;
                if kind != NLMSG_ERROR {
                    continue;
                }
                awaited = awaited.saturating_sub(1);
                let code = body.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
                if code != 0 {
                    first_error.get_or_insert(io::Error::from_raw_os_error(-code));
                }
            }
            // A refused firewall batch may be answered with a single error.
            if first_error.is_some() {
                break;
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk::<4>()?) as usize;
    let kind = u16::from_ne_bytes([*bytes.get(4)?, *bytes.get(5)?]);
    let body = bytes.get(HEADER_BYTES..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let mut message = Message::new(7, NLM_F_ACK, &[1, 2, 3, 4]).with_text(9, "ab").with_nested(
            5,
            &[],
            |inner| inner.with(6, &[8]),
        );
        message.seal(3);
        let body = &message.bytes[HEADER_BYTES..];
        assert_eq!(body[..4], [1, 2, 3, 4]);
        assert_eq!(body[4..12], [7, 0, 9, 0, b'a', b'b', 0, 0]);
        assert_eq!(body[12..], [12, 0, 5, 0x80, 5, 0, 6, 0, 8, 0, 0, 0]);
        assert_eq!(message.bytes[0], message.bytes.len() as u8);
    }
}
