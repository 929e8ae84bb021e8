//! Objects of a bucket that speaks S3's protocol, which several machines share.
//!
//! - [`Address`]: which bucket, and what of it is ours. [`Keys`]: what requests are signed with.
//! - [`Bucket`]: whole objects, ranges of them, and large ones in parts. [`Content`]: what is sent from a
//!   file.
//!
//! Only what every server of that protocol has is used: no conditional writes, no tags, no lists of
//! uploads under way. Paths are in the URL (`ENDPOINT/BUCKET/KEY`).

mod address;
mod bucket;
mod content;
mod direct;
mod error;
mod http;

pub use address::{Address, AddressError, Keys};
pub use bucket::{Bucket, Reading};
pub use content::Content;
pub use error::{BucketError, Meaning};
