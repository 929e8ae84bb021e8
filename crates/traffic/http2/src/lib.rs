//! Frames and header tables of HTTP/2 (RFC 9113, RFC 7541), read and written. Pure: bytes in, bytes out.
//!
//! - [`Frame`]: what stands between two neighbours, with all that can be said of a frame alone: its
//!   length, its flags, its padding, whether it may be on a stream. `Head` begins each that is written.
//! - [`Decoder`] and [`Fields`]: lists of headers as a client packs them. [`Block`]: as they are packed
//!   for a client.
//! - [`Window`]: how many bytes may be sent.
//!
//! **Invariant:** no bytes make it panic, or keep more than the limits that it was given.
//! **Absent on purpose:** streams and their states, sockets, what headers mean.

mod frames;
mod hpack;
mod window;

pub use frames::{Code, Fault, Frame, HEAD_LENGTH, Head, PREFACE, Read, Setting, Settings, write};
pub use hpack::{Block, Decoder, Fields, Undecodable};
pub use window::{Overflow, WINDOW_MAX, Window};
