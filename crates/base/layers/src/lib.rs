//! Layers of images as they are pushed: compressed tars with whiteouts. Nodes unpack them, the registry
//! looks into them.
//!
//! **Invariant:** they come from strangers: every length is bounded before memory is taken for it, and
//! nothing here touches the disk.

mod compression;
mod tar;
mod whiteout;

pub use self::compression::{Compression, Plain};
pub use self::tar::{Entry, Kind, Piece, TarError, TarReader};
pub use self::whiteout::Mark;
