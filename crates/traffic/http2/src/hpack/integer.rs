//! Numbers (RFC 7541, 5.1): a few bits of a byte, and more bytes if it does not fit there.

/// Most bytes behind the first: a number has 28 bits at most.
const MORE_MAX: usize = 4;

/// A number that has no end, or more bits than anything needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endless;

/// The number in the lowest `bits` of the first byte and those behind it, and how many bytes it has.
///
/// # Errors
/// [`Endless`]; of no bytes, too.
pub(super) fn read(bytes: &[u8], bits: u32) -> Result<(usize, usize), Endless> {
    let full = (1_usize << bits) - 1;
    let first = usize::from(*bytes.first().ok_or(Endless)?) & full;
    if first < full {
        return Ok((first, 1));
    }
    let mut number = first;
    for (at, byte) in bytes[1..].iter().take(MORE_MAX).enumerate() {
        number += usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((number, at + 2));
        }
    }
    Err(Endless)
}

/// Writes a number into the lowest `bits` of a byte that begins with `mark`, and those behind it.
pub(super) fn write(out: &mut Vec<u8>, mark: u8, bits: u32, number: usize) {
    let full = (1_usize << bits) - 1;
    if number < full {
        out.push(mark | number as u8);
        return;
    }
    out.push(mark | full as u8);
    let mut rest = number - full;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_appendix() {
        // RFC 7541, C.1.
        for (number, bits, bytes) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])]
        {
            let mut out = Vec::new();
            write(&mut out, 0, bits, number);
            assert_eq!(out, bytes);
            assert_eq!(read(bytes, bits), Ok((number, bytes.len())));
        }
        for endless in [&[][..], &[0x1f], &[0x1f, 0x80], &[0x1f, 0x80, 0x80, 0x80, 0x80, 0x00]] {
            assert_eq!(read(endless, 5), Err(Endless), "{endless:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 0_usize..1 << 27, bits in 4_u32..=7, mark in any::<u8>()) {
            let mark = mark & !((1_u8 << bits) - 1);
            let mut out = Vec::new();
            write(&mut out, mark, bits, number);
            prop_assert_eq!(read(&out, bits), Ok((number, out.len())));
            prop_assert_eq!(out[0] & mark, mark);
        }
    }
}
