//! Sparse files: GNU's old form, and the two that stand in PAX records.

use std::io::Read;

use super::header::{BLOCK_BYTES, Block, number};
use super::pax::{Pax, decimal};
use super::{Entry, TarError, TarReader, broken};

/// How many pieces of data one sparse file may have.
const PIECES_MAX: usize = 65_536;

/// A run of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it lies, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Reads the map of a sparse file, in whichever form it has one, and sets the entry's real size.
pub(super) fn apply<R: Read>(
    reader: &mut TarReader<R>,
    block: &Block,
    pax: &Pax,
    entry: &mut Entry,
) -> Result<(), TarError> {
    let records = &pax.sparse;
    let (pieces, real_size) = if block.is_gnu_sparse() {
        let pieces = old_gnu(reader, block)?;
        (pieces, number(&block.0[483..495]).ok_or_else(|| broken("a sparse file has no size"))?)
    } else if records.major == Some(1) {
        let size = records.real_size.ok_or_else(|| broken("a sparse file has no size"))?;
        (in_data(reader)?, size)
    } else if let Some(map) = &records.map {
        let size = records.real_size.ok_or_else(|| broken("a sparse file has no size"))?;
        let numbers = map.split(|&b| b == b',').map(|text| decimal(text, "sparse map"));
        (pair_up(&numbers.collect::<Result<Vec<_>, _>>()?)?, size)
    } else {
        return Ok(());
    };
    check(&pieces, real_size, reader.data_bytes)?;
    if let Some(name) = &records.name {
        entry.name.clone_from(name);
    }
    entry.size_bytes = real_size;
    entry.pieces = Some(pieces);
    Ok(())
}

/// Pieces must go upwards, lie in the file and cover exactly the data that is stored.
fn check(pieces: &[Piece], real_size: u64, stored: u64) -> Result<(), TarError> {
    let mut end = 0;
    let mut total = 0_u64;
    for piece in pieces {
        if piece.offset < end {
            return Err(broken("the pieces of a sparse file overlap"));
        }
        end = piece
            .offset
            .checked_add(piece.length)
            .filter(|&end| end <= real_size)
            .ok_or_else(|| broken("a piece of a sparse file lies beyond its end"))?;
        total = total.saturating_add(piece.length);
    }
    if total == stored {
        return Ok(());
    }
    Err(broken("the pieces of a sparse file are not as long as its data"))
}

/// Four pieces in the header, 21 in each block that may follow it.
fn old_gnu<R: Read>(reader: &mut TarReader<R>, block: &Block) -> Result<Vec<Piece>, TarError> {
    let mut pieces = Vec::new();
    push_all(&mut pieces, &block.0[386..386 + 4 * 24])?;
    let mut is_extended = block.0[482] != 0;
    while is_extended {
        let next = reader.read_block()?.ok_or_else(|| broken("it ends in a sparse file's map"))?;
        push_all(&mut pieces, &next.0[..21 * 24])?;
        is_extended = next.0[504] != 0;
    }
    Ok(pieces)
}

fn push_all(pieces: &mut Vec<Piece>, fields: &[u8]) -> Result<(), TarError> {
    for field in fields.chunks_exact(24) {
        if field[0] == 0 {
            break;
        }
        let (Some(offset), Some(length)) = (number(&field[..12]), number(&field[12..])) else {
            return Err(broken("a sparse file's map has no numbers"));
        };
        push(pieces, Piece { offset, length })?;
    }
    Ok(())
}

fn push(pieces: &mut Vec<Piece>, piece: Piece) -> Result<(), TarError> {
    if pieces.len() >= PIECES_MAX {
        return Err(broken(format!("a sparse file has over {PIECES_MAX} pieces")));
    }
    if piece.length > 0 {
        pieces.push(piece);
    }
    Ok(())
}

/// PAX 1.0: decimal numbers, one a line, at the head of the data, filled up to a whole block.
fn in_data<R: Read>(reader: &mut TarReader<R>) -> Result<Vec<Piece>, TarError> {
    let mut numbers = Vec::new();
    let mut digits = Vec::new();
    let mut wanted = 1;
    let mut block = [0; BLOCK_BYTES];
    while numbers.len() < wanted {
        reader.read_exact(&mut block)?;
        for &byte in &block {
            if numbers.len() == wanted {
                break;
            }
            if byte != b'\n' {
                digits.push(byte);
                if digits.len() > 20 {
                    return Err(broken("a sparse file's map has no numbers"));
                }
                continue;
            }
            let value = decimal(&digits, "sparse map")?;
            digits.clear();
            if numbers.is_empty() {
                let count = usize::try_from(value).unwrap_or(usize::MAX);
                if count > PIECES_MAX {
                    return Err(broken(format!("a sparse file has over {PIECES_MAX} pieces")));
                }
                wanted = 1 + 2 * count;
            }
            numbers.push(value);
        }
    }
    pair_up(&numbers[1..])
}

fn pair_up(numbers: &[u64]) -> Result<Vec<Piece>, TarError> {
    let mut pieces = Vec::new();
    for pair in numbers.chunks(2) {
        let &[offset, length] = pair else {
            return Err(broken("a sparse file's map has an odd number of numbers"));
        };
        push(&mut pieces, Piece { offset, length })?;
    }
    Ok(pieces)
}
