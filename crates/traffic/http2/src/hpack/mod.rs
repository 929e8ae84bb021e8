//! Lists of headers, packed (RFC 7541).

mod decoder;
mod encoder;
mod fields;
mod huffman;
mod integer;
mod table;

pub use decoder::{Decoder, Undecodable};
pub use encoder::Block;
pub use fields::Fields;
