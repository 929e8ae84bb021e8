//! Content-addressed store that nodes and the registry share.
//!
//! A [`Store`] keeps immutable byte strings on disk, each under its SHA-256 [`Digest`]. Writing goes
//! through an [`Ingest`]: bytes go to a file beside the store and are hashed on the way;
//! [`Ingest::commit`] checks digest and size and renames the file into place. So:
//!
//! - **Invariant:** a blob that can be opened is whole and was right when it was written. There is no
//!   moment at which a reader can see a part of one.
//! - Several processes may use one folder at once. Whoever takes in a blob holds a file lock on its
//!   partial file, others wait for it and then find the blob there. A crash frees the lock; the part
//!   that was written stays and the next [`Store::ingest`] of that digest goes on from there.
//! - Nothing here knows what a blob means, who refers to it, or when it may go: that is the
//!   caller's to derive before it calls [`Store::delete`].
//!
//! All calls block on the disk: async callers go through their runtime's blocking threads.

mod digest;
mod ingest;
mod store;
mod writeback;

pub use digest::{Digest, Hasher, ParseDigestError};
pub use ingest::{Ingest, IngestError};
pub use store::{Durability, Entry, Store, StoreError};
