//! The fixed header: one block of 512 bytes.

use super::{Kind, TarError, broken, until_nul};

pub(super) const BLOCK_BYTES: usize = 512;

/// A header block as it was read.
pub(super) struct Block(pub(super) [u8; BLOCK_BYTES]);

impl Block {
    fn field(&self, from: usize, length: usize) -> &[u8] {
        &self.0[from..from + length]
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|&b| b == 0)
    }

    /// The sum of all bytes, with blanks in place of the sum itself. Some old tools summed signed
    /// bytes.
    pub(super) fn check_sum(&self) -> Result<(), TarError> {
        const SUM: std::ops::Range<usize> = 148..156;
        let byte_at = |(index, &byte): (usize, &u8)| if SUM.contains(&index) { b' ' } else { byte };
        let bytes = || self.0.iter().enumerate().map(byte_at);
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
        let stated = octal(&self.0[SUM])
            .and_then(|sum| i64::try_from(sum).ok())
            .ok_or_else(|| broken("a header has no checksum"))?;
        if stated == unsigned || stated == signed {
            return Ok(());
        }
        Err(broken("a header's checksum is wrong"))
    }

    pub(super) fn kind_byte(&self) -> u8 {
        self.0[156]
    }

    /// GNU's old form has other fields where ustar has the name's prefix.
    fn is_ustar(&self) -> bool {
        self.field(257, 6) == b"ustar\0"
    }

    pub(super) fn is_gnu_sparse(&self) -> bool {
        self.kind_byte() == b'S'
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_nul(self.field(0, 100).to_vec());
        let prefix = until_nul(self.field(345, 155).to_vec());
        if !self.is_ustar() || prefix.is_empty() {
            return name;
        }
        [prefix, name].join(&b'/')
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(self.field(157, 100).to_vec())
    }

    pub(super) fn kind(&self, name: &[u8]) -> Result<Kind, TarError> {
        Ok(match self.kind_byte() {
            b'0' | 0 | b'7' if name.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::SymLink,
            b'3' | b'4' => Kind::Device,
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'M' => return Err(broken("it is a part of a tar in several volumes")),
            other => Kind::Other(other),
        })
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        self.number(124, 12, "size")
    }

    pub(super) fn mode(&self) -> Result<u32, TarError> {
        Ok((self.number(100, 8, "mode")? & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Result<u64, TarError> {
        self.number(108, 8, "uid")
    }

    pub(super) fn gid(&self) -> Result<u64, TarError> {
        self.number(116, 8, "gid")
    }

    pub(super) fn modified(&self) -> Result<(i64, u32), TarError> {
        let field = self.field(136, 12);
        // Before 1970: base-256 with the sign bit.
        if field[0] == 0xff {
            return Ok((0, 0));
        }
        Ok((i64::try_from(self.number(136, 12, "mtime")?).unwrap_or(i64::MAX), 0))
    }

    fn number(&self, from: usize, length: usize, what: &str) -> Result<u64, TarError> {
        number(self.field(from, length))
            .ok_or_else(|| broken(format!("a header's {what} is not a number")))
    }
}

/// Octal digits, or GNU's base-256 form (first bit set).
pub(super) fn number(field: &[u8]) -> Option<u64> {
    match field.first() {
        Some(&first) if first & 0x80 != 0 => {
            if first & 0x40 != 0 {
                return None; // Negative.
            }
            let mut value = u64::from(first & 0x3f);
            for &byte in &field[1..] {
                value = value.checked_mul(256)?.checked_add(u64::from(byte))?;
            }
            Some(value)
        }
        _ => octal(field),
    }
}

/// Octal digits between blanks; nothing at all is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    let digits = field[..end].trim_ascii();
    digits.iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}
