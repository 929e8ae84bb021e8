//! Frames (RFC 9113, 4 and 6).

mod codes;
mod read;
#[cfg(test)]
mod tests;
pub mod write;

pub use codes::Code;
pub use read::{Fault, Frame, Read, Setting, Settings};

/// What a client's connection begins with (RFC 9113, 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's head, in bytes.
pub const HEAD_LENGTH: usize = 9;

/// The kinds of frames.
pub(crate) mod kinds {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flags {
    /// Of DATA and HEADERS: nothing more comes on the stream.
    pub(crate) const END_STREAM: u8 = 0x1;
    /// Of SETTINGS and PING: it answers one.
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// What each frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The length of what follows, in bytes; 24 bits.
    pub length: u32,
    /// What it is.
    pub kind: u8,
    /// What the kind makes of them.
    pub flags: u8,
    /// The stream, 0 for the connection; 31 bits.
    pub stream: u32,
}

impl Head {
    /// Reads one. The reserved bit is passed over.
    pub fn read(bytes: &[u8; HEAD_LENGTH]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        let length = u32::from_be_bytes([0, a, b, c]);
        Self { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }
    }

    /// As it is written. Bits beyond those of a length are cut.
    pub fn bytes(&self) -> [u8; HEAD_LENGTH] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s, t, u, v] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s, t, u, v]
    }
}
