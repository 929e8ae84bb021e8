//! Huffman's code of HPACK (RFC 7541, 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and
//! begin where those of the length before end. Its lengths alone tell all of it.

/// The lengths of the codes of all bytes and, last, of the end, in bits.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
/// The longest code, in bits.
const LONGEST: usize = 30;
/// The symbol that must not be in a text.
const END: u16 = 256;
/// What is looked up at once, in bits: what texts are made of has codes that are no longer.
const QUICK: u32 = 8;

/// A code that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Symbols by the lengths of their codes, and where each length begins.
struct Table {
    symbols: [u16; 257],
    /// The first code of each length.
    first: [u32; LONGEST + 1],
    /// How many codes have each length.
    count: [u32; LONGEST + 1],
    /// Where the symbols of each length begin.
    place: [u32; LONGEST + 1],
    /// Symbol and length by the next bits; the length is 0 if the code is longer than they are.
    quick: [(u8, u8); 1 << QUICK],
}

static TABLE: Table = table();

const fn table() -> Table {
    let mut table = Table {
        symbols: [0; 257],
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        place: [0; LONGEST + 1],
        quick: [(0, 0); 1 << QUICK],
    };
    let (mut length, mut at, mut code) = (1, 0, 0_u32);
    while length <= LONGEST {
        code <<= 1;
        table.first[length] = code;
        table.place[length] = at as u32;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                table.symbols[at] = symbol as u16;
                table.count[length] += 1;
                if length <= QUICK as usize {
                    fill(&mut table.quick, symbol as u8, code, length);
                }
                at += 1;
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    table
}

/// Notes a short code under all bits that begin with it.
const fn fill(quick: &mut [(u8, u8); 1 << QUICK], symbol: u8, code: u32, length: usize) {
    let open = QUICK as usize - length;
    let mut rest = 0;
    while rest < 1 << open {
        quick[((code as usize) << open) | rest] = (symbol, length as u8);
        rest += 1;
    }
}

/// Writes the text of these bytes behind what there is.
///
/// # Errors
/// [`Unreadable`] if they hold the end's code, or if what is left behind the last code is longer than 7
/// bits or not the beginning of the end's code.
pub(crate) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
    // The lowest `held` bits of `bits` were not read yet.
    let (mut bits, mut held) = (0_u64, 0_u32);
    for byte in bytes {
        bits = bits << 8 | u64::from(*byte);
        held += 8;
        while held >= QUICK {
            let (symbol, length) = TABLE.quick[(bits >> (held - QUICK) & 0xff) as usize];
            if length > 0 {
                out.push(symbol);
                held -= u32::from(length);
                continue;
            }
            match slow(bits, held)? {
                Some((symbol, length)) => {
                    out.push(symbol);
                    held -= length;
                }
                None => break,
            }
        }
    }
    // What is left is shorter than what is looked up at once, or no whole code: ones make it up.
    while held < QUICK {
        let next = (bits << (QUICK - held) | ((1 << (QUICK - held)) - 1)) & 0xff;
        let (symbol, length) = TABLE.quick[next as usize];
        if length == 0 || u32::from(length) > held {
            break;
        }
        out.push(symbol);
        held -= u32::from(length);
    }
    let padding = (1_u64 << held) - 1;
    if held > 7 || bits & padding != padding { Err(Unreadable) } else { Ok(()) }
}

/// The symbol of a code that is longer than what is looked up at once, and its length; none if it is
/// not whole yet.
fn slow(bits: u64, held: u32) -> Result<Option<(u8, u32)>, Unreadable> {
    let longest = held.min(LONGEST as u32);
    for length in QUICK + 1..=longest {
        let code = (bits >> (held - length) & ((1 << length) - 1)) as u32;
        let at = length as usize;
        let number = code.wrapping_sub(TABLE.first[at]);
        if code >= TABLE.first[at] && number < TABLE.count[at] {
            let symbol = TABLE.symbols[(TABLE.place[at] + number) as usize];
            return u8::try_from(symbol).map(|symbol| Some((symbol, length))).map_err(|_| {
                debug_assert_eq!(symbol, END, "all others are bytes");
                Unreadable
            });
        }
    }
    Ok(None)
}

/// The code of a text.
#[cfg(test)]
pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u64, 0);
    for byte in text {
        let length = LENGTHS[usize::from(*byte)];
        let at = usize::from(length);
        let place = TABLE.place[at] as usize;
        let symbols = &TABLE.symbols[place..place + TABLE.count[at] as usize];
        let number = symbols.iter().position(|symbol| *symbol == u16::from(*byte));
        let code = TABLE.first[at] + u32::try_from(number.expect("all have one")).expect("few");
        bits = bits << length | u64::from(code);
        held += u32::from(length);
        while held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    if held > 0 {
        out.push(((bits << (8 - held) | ((1 << (8 - held)) - 1)) & 0xff) as u8);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn codes_are_those_of_the_appendix() {
        // RFC 7541, C.4 and C.6.
        for (plain, code) in [
            ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
            ("no-cache", "a8eb10649cbf"),
            ("custom-key", "25a849e95ba97d7f"),
            ("custom-value", "25a849e95bb8e8b4bf"),
            ("302", "6402"),
            ("private", "aec3771a4b"),
            ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
            ("https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
        ] {
            let hex = |byte: &u8| format!("{byte:02x}");
            let encoded = encode(plain.as_bytes());
            assert_eq!(encoded.iter().map(hex).collect::<String>(), code, "{plain}");
            assert_eq!(text(&encoded), Ok(plain.as_bytes().to_vec()));
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for wrong in [
            // The end's code; eight and more bits of padding; padding of zeros; half a code.
            &[0xff, 0xff, 0xff, 0xff][..],
            &[0xff, 0xff, 0xff, 0xfc],
            &[0x1f, 0xff],
            &[0xff],
            &[0x00],
            &[0x07, 0xfe],
        ] {
            assert_eq!(text(wrong), Err(Unreadable), "{wrong:x?}");
        }
        assert_eq!(text(&[]), Ok(Vec::new()));
        assert_eq!(text(&[0x07]), Ok(b"0".to_vec()));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(plain in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(text(&encode(&plain)), Ok(plain));
        }

        #[test]
        fn what_is_decoded_has_one_code(code in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(plain) = text(&code) {
                prop_assert_eq!(encode(&plain), code);
            }
        }
    }
}
